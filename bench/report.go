package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is one run.
type Report struct {
	Machine   Machine   `json:"machine"`
	Began     time.Time `json:"began"`
	Key       string    `json:"key"`
	Threshold int       `json:"threshold"`
	Holders   int       `json:"holders"`
	Idle      []CPU     `json:"idle"` // what the processes use when nobody asks
	Parts     []Part    `json:"parts"`
	Steps     []Step    `json:"steps"`
}

// yardstick is one variable-base multiplication.
func (r *Report) yardstick() time.Duration {
	for _, s := range r.Steps {
		if s.Who == Yardstick {
			return s.CPU
		}
	}
	return 0
}

// Explained holds the steps of one side against what that side really used.
type Explained struct {
	Who      string        `json:"who"`         // AtNode: each of the nodes asked
	Steps    time.Duration `json:"steps_ns"`    // their sum
	Measured time.Duration `json:"measured_ns"` // CPU per unwrap, without what is used when idle
}

// Rest is what no step accounts for: QUIC, TLS, the kernel, the scheduler.
func (e Explained) Rest() time.Duration { return e.Measured - e.Steps }

// explain compares a part with the steps. What the nodes use is shared out among
// as many as an envelope needs; a slow node makes the client ask more than those.
func (r *Report) explain(p *Part, when string) []Explained {
	client, nodes := Explained{Who: AtClient}, Explained{Who: AtNode}
	for _, s := range r.Steps {
		switch {
		case s.When != "" && s.When != when:
		case s.Who == AtClient:
			client.Steps += s.CPU
		case s.Who == AtNode:
			nodes.Steps += s.CPU
		}
	}
	each := time.Duration(float64(time.Second) / p.Throughput)
	for i, c := range p.CPU {
		used := c.Each - time.Duration(r.Idle[i].Share*float64(each))
		if i == 0 {
			client.Measured = used
		} else {
			nodes.Measured += used / time.Duration(r.Threshold)
		}
	}
	if len(p.CPU) == 1 { // the nodes are on other machines
		return []Explained{client}
	}
	return []Explained{client, nodes}
}

// Write renders the report as text.
func (r *Report) Write(w io.Writer) error { return columns(w, r.lines) }

func (r *Report) lines(line func(format string, args ...any)) {
	r.Machine.write(line, r.Began)
	line("key\t%s, %d of %d", r.Key, r.Threshold, r.Holders)
	unit := r.yardstick()
	line("\nUNWRAPS\tP50\tP99\tLONGEST\tPER SECOND")
	for _, p := range r.Parts {
		line("%d, %s\t%s\t%s\t%s\t%.0f", p.Unwraps, p.Name, micro(p.P50), micro(p.P99), micro(p.Longest), p.Throughput)
	}
	for _, p := range r.Parts {
		line("\nCPU PER UNWRAP, %s\tTIME\tMULTIPLICATIONS\tOF ONE CORE\tIDLE", strings.ToUpper(p.Name))
		var sum time.Duration
		for i, c := range p.CPU {
			sum += c.Each
			line("%s\t%s\t%s\t%.0f%%\t%.1f%%", c.Process, micro(c.Each), ratio(c.Each, unit), 100*c.Share, 100*r.Idle[i].Share)
		}
		line("all of these\t%s\t%s", micro(sum), ratio(sum, unit))
		line("\nWHAT IT IS MADE OF, %s\tMEASURED\tSTEPS BELOW\tREST: QUIC, TLS, KERNEL, RUNTIME", strings.ToUpper(p.Name))
		for _, e := range p.Explained {
			where := e.Who
			if e.Who == AtNode {
				where = fmt.Sprintf("each of %d nodes", r.Threshold)
			}
			line("%s\t%s\t%s\t%s", where, micro(e.Measured), micro(e.Steps), micro(e.Rest()))
		}
	}
	line("\nSTEP\tWHERE\tCPU\tMULTIPLICATIONS\tWALL")
	for _, s := range r.Steps {
		line("%s\t%s\t%s\t%.2f\t%s", s.Name, s.Who, micro(s.CPU), s.Ratio, micro(s.Wall))
	}
}

func micro(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }

func ratio(d, unit time.Duration) string {
	if unit == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(d)/float64(unit))
}
