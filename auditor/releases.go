package auditor

import (
	"fmt"
	"slices"
	"strings"
)

// Opened is what all logs tell of the releases under one request id.
type Opened struct {
	RequestID  [16]byte
	Items      []*Asked // one for each envelope that a node released a partial of
	Thresholds []uint32 // of each item's key; 0: the export has no order of that key
	Flags      []string // what should not be, or needs a reason
}

// Time is when the first node released.
func (o *Opened) Time() int64 { return o.Items[0].Time() }

// Releases verifies the export and sorts what was released by request id, oldest
// first. A client draws an id for each call at random; so one id is one principal's,
// and usually one envelope's. Flagged are: fewer nodes than the key's threshold (a
// call that failed half way, or a log that hides a release), several principals,
// several envelopes (a batch, or an id that was used again), several policies.
func (f *Folder) Releases(given Given, q Question) ([]*Opened, *Report, error) {
	all, report, err := f.Query(given, q)
	if err != nil {
		return nil, nil, err
	}
	lacking := 0
	for _, n := range report.Nodes {
		if n.Absent != "" || n.Damage != nil {
			lacking++
		}
	}
	by := map[[16]byte]*Opened{}
	thresholds := map[string]uint32{}
	var out []*Opened
	for _, a := range all {
		if len(a.By(Released)) == 0 {
			continue
		}
		o := by[a.RequestID]
		if o == nil {
			o = &Opened{RequestID: a.RequestID}
			by[a.RequestID] = o
			out = append(out, o)
		}
		o.Items = append(o.Items, a)
		if _, known := thresholds[a.KeyName]; !known {
			thresholds[a.KeyName] = report.History.threshold(a.KeyName)
		}
		o.Thresholds = append(o.Thresholds, thresholds[a.KeyName])
	}
	for _, o := range out {
		o.flag(lacking)
	}
	return out, report, nil
}

// threshold is that of the key of this name, by its signed order; 0 without one.
func (h *History) threshold(key string) uint32 {
	if o := h.At(1 << 62).Orders[key]; o != nil {
		return o.T
	}
	return 0
}

func (o *Opened) flag(lacking int) {
	say := func(format string, args ...any) { o.Flags = append(o.Flags, fmt.Sprintf(format, args...)) }
	principals, envelopes, policies := map[string]bool{}, map[[32]byte]bool{}, map[[32]byte]bool{}
	least, t := -1, uint32(0)
	for i, a := range o.Items {
		principals[a.Principal] = true
		envelopes[a.Envelope] = true
		for _, n := range a.Nodes {
			if n.Decision == Released {
				policies[n.Policy] = true
			}
		}
		switch n := len(nodesOf(a, Released)); {
		case o.Thresholds[i] == 0:
			say("the export has no signed order of the key %s: its threshold is not known", a.KeyName)
		case n < int(o.Thresholds[i]) && (least < 0 || n < least):
			least, t = n, o.Thresholds[i]
		}
	}
	if least >= 0 {
		words := fmt.Sprintf("only %d of the %d nodes that it takes tell of a release", least, t)
		if lacking > 0 {
			words += fmt.Sprintf("; %d of the logs are not in this answer", lacking)
		}
		say("%s", words)
	}
	if len(principals) > 1 {
		say("%d principals under one request id: %s", len(principals), strings.Join(sortedKeys(principals), ", "))
	}
	if len(envelopes) > 1 {
		say("%d envelopes under one request id: a batch, or the id was used again", len(envelopes))
	}
	if len(policies) > 1 {
		say("nodes decided by %d policies", len(policies))
	}
}

// nodesOf lists the nodes with this decision, each once.
func nodesOf(a *Asked, decision string) []string { return slices.Compact(a.By(decision)) }
