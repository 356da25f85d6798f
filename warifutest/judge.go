package warifutest

import (
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/policy"
)

// Promises that a [Violation] names.
const (
	Agreement  = "agreement"  // all nodes have one history, and name no place outside it
	Durability = "durability" // what was acknowledged stays where it is
	Gate       = "gate"       // what was released was permitted, and recorded before
	Revoked    = "revoked"    // nothing that combines is released after an acknowledged deny
	Progress   = "progress"   // a healed cluster serves
)

// Violation is a promise that was broken.
type Violation struct{ Promise, What string }

func (v Violation) String() string { return v.Promise + ": " + v.What }

// Judge holds what a load has seen against what the nodes left.
func Judge(s Seen, h *History, threshold int) (found []Violation) {
	say := func(promise, format string, args ...any) {
		found = append(found, Violation{promise, fmt.Sprintf(format, args...)})
	}
	for _, sight := range s.Sights {
		found = append(found, h.held(sight, "said")...)
	}
	for _, a := range s.Acked {
		if h.points[a.Index].id != a.ID {
			say(Durability, "change %d was acknowledged at %d and is not there", a.Number, a.Index)
		}
	}
	found = append(found, h.released()...)
	found = append(found, judgeAttempts(s, h, threshold)...)
	return found
}

// released holds every release record against the policy of the ledger that it
// names.
func (h *History) released() (found []Violation) {
	compiled := map[api.Digest]*policy.Policy{}
	for node, records := range h.audits {
		for _, r := range records {
			if r.Kind != audit.Release {
				continue
			}
			say := func(format string, args ...any) {
				found = append(found, Violation{Gate, fmt.Sprintf("%s released to %s at %d (%s): ", node, r.Principal, r.LedgerIndex, r.Reason) + fmt.Sprintf(format, args...)})
			}
			p, ok := h.points[r.LedgerIndex]
			if !ok || p.policy == nil {
				say("there is no policy there")
				continue
			}
			if p.policy.Digest != api.Digest(r.PolicyDigest) {
				say("the record names another policy than the ledger has there")
				continue
			}
			c := compiled[p.policy.Digest]
			if c == nil {
				d, err := policy.DecodeDocument(p.policy.Document)
				if err == nil {
					c, err = policy.Compile(d)
				}
				if err != nil {
					say("the policy there does not compile: %v", err)
					continue
				}
				compiled[p.policy.Digest] = c
			}
			if !c.Decide(policy.Request{
				Principal: r.Principal, Action: policy.Unwrap, KeyID: r.Key, KeyName: r.KeyName,
				Reason: r.Reason, Now: time.UnixMilli(r.Time),
			}).Allowed {
				say("the policy there does not permit it")
			}
		}
	}
	return found
}

// judgeAttempts holds what clients were given against the records, and against the
// denies that were acknowledged before they asked.
func judgeAttempts(s Seen, h *History, threshold int) (found []Violation) {
	say := func(promise, format string, args ...any) {
		found = append(found, Violation{promise, fmt.Sprintf(format, args...)})
	}
	recorded := map[string]map[string]audit.Kind{} // by reason, by node: the last word
	for node, records := range h.audits {
		for _, r := range records {
			if r.Kind == audit.Release || r.Kind == audit.Withheld {
				if recorded[r.Reason] == nil {
					recorded[r.Reason] = map[string]audit.Kind{}
				}
				recorded[r.Reason][node] = r.Kind
			}
		}
	}
	permits := map[int]bool{0: true}
	for _, a := range s.Acked {
		permits[a.Number] = a.PermitA
	}
	gave := map[int]map[string]bool{} // by deny: the nodes that gave a partial after it
	for _, a := range s.Attempts {
		if !a.OK {
			continue
		}
		durable := 0
		for _, kind := range recorded[a.Reason] {
			if kind == audit.Release {
				durable++
			}
		}
		switch {
		case a.Node != "" && recorded[a.Reason][a.Node] != audit.Release:
			say(Gate, "%s gave a partial for the %s and has no record of it", a.Node, a.Reason)
		case a.Node == "" && durable < threshold:
			say(Gate, "the %s was combined, and %d nodes have a record of it", a.Reason, durable)
		}
		if a.Principal != AppA || a.After != a.Before || permits[a.After] {
			continue // no deny was in force all the while
		}
		if a.Node == "" {
			say(Revoked, "the %s succeeded for A after the deny %d was acknowledged", a.Reason, a.After)
			continue
		}
		if gave[a.After] == nil {
			gave[a.After] = map[string]bool{}
		}
		if gave[a.After][a.Node] = true; len(gave[a.After]) == threshold {
			say(Revoked, "%d nodes gave A partials after the deny %d was acknowledged", threshold, a.After)
		}
	}
	return found
}
