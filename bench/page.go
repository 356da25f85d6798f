package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Page writes the run as one page of HTML that needs nothing else. It is well-formed XML,
// so that a program can read it, too.
func (r *Run) Page(w io.Writer) error {
	var b strings.Builder
	out := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	out(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>warifu-bench: %s</title><style>
body { font: 13px/1.25 sans-serif; margin: .6em auto; max-width: 1256px; color: #222; }
h1 { font-size: 20px; margin: 0 0 .3em; } h2 { font-size: 16px; }
.facts { display: grid; grid-template-columns: auto 1fr auto 1fr; gap: 0 .8em; margin: 0 0 .6em; }
.facts dt { color: #666; } .facts dd { margin: 0; overflow-wrap: anywhere; } .facts dt.long { grid-column: 1; } .facts dd.long { grid-column: span 3; }
.plots { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: flex-start; }
table { border-collapse: collapse; margin: 0 0 1em; } td, th { padding: .15em .7em; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
svg { background: #fff; } svg text { font: 11px sans-serif; fill: #222; } svg text.title { font-size: 14px; font-weight: bold; }
svg text.value { font-size: 10px; fill: #555; } .span { fill: #fde4d0; }
.grid { stroke: #ddd; } .MISS { color: #b00; font-weight: bold; } .FLOOR { color: #850; }
.number { white-space: nowrap; } pre { white-space: pre-wrap; }
</style></head><body><h1>What unwraps cost</h1>`, esc(r.Began.Format(time.RFC3339)))
	fact := func(format string, args ...any) {
		name, value, _ := strings.Cut(fmt.Sprintf(format, args...), "\t")
		class := ""
		if len(value) > factRunes {
			class = ` class="long"`
		}
		out("<dt%s>%s</dt><dd%s>%s</dd>", class, esc(name), class, esc(value))
	}
	out(`<dl class="facts">`)
	r.Machine.write(fact, r.Began)
	fact("key\t%s", r.key())
	fact("peer\t%s", r.peer())
	out(`</dl><div class="plots">`)
	for _, p := range r.plots() {
		out("%s", p.svg())
	}
	out("</div>")
	row := func(cells ...string) { out("<tr><td>%s</td></tr>", strings.Join(cells, "</td><td>")) }
	if len(r.Goals) > 0 {
		out("<h2>Goals</h2><table><tr><th>goal</th><th>measured</th><th>at most</th><th></th><th>how</th><th>ratio</th></tr>")
		for _, g := range r.Goals {
			measured, limit, ratio, how := "-", "-", "-", []string{g.Goal}
			if g.Verdict != NotMeasured {
				measured, limit, ratio = micro(g.Measured), micro(g.Limit), fmt.Sprintf("%.2f", g.Ratio)
				how = append(how, arithmetic(g.Base))
			}
			if g.Why != "" {
				how = append(how, g.Why)
			}
			row(esc(g.Shape), number(measured), number(limit), fmt.Sprintf(`<span class="%s">%s</span>`, esc(g.Verdict), esc(g.Verdict)), esc(strings.Join(how, "; ")), ratio)
		}
		out("</table>")
	}
	if r.Held != nil {
		out("<p>%s, CPU of each: %s</p>", esc(r.Held.Shape), esc(r.Held.String()))
	}
	if r.Failing != nil {
		r.Failing.page(out)
	}
	if r.Scale != nil {
		r.Scale.page(out)
	}
	if err := r.Err(); err != nil {
		out("<h2>Not as it should be</h2><pre>%s</pre>", esc(err.Error()))
	}
	out("</body></html>")
	_, err := io.WriteString(w, b.String())
	return err
}

// factRunes is what fits beside another fact.
const factRunes = 70

// table is one of a page.
func table(out func(format string, args ...any), head []string, rows [][]string) {
	out("<table><tr><th>%s</th></tr>", strings.Join(head, "</th><th>"))
	for _, r := range rows {
		var cells []string
		for _, c := range r {
			cells = append(cells, esc(c))
		}
		out("<tr><td>%s</td></tr>", strings.Join(cells, "</td><td>"))
	}
	out("</table>")
}

// number is a cell that is not broken.
func number(s string) string { return `<span class="number">` + esc(s) + `</span>` }

// plots are the drawings that this run has something for.
func (r *Run) plots() (out []*plot) {
	if r.Failing != nil {
		out = append(out, r.Failing.plots()...)
	}
	for _, p := range []*plot{
		r.plotGoals("CPU of one unwrap, and its goal", "CPU of client and all nodes (µs)", time.Microsecond, "symmetric", "asymmetric", "against a peer"),
		r.plotGoals("Latency of one at a time on loopback, and its goal", "latency (µs)", time.Microsecond, "one at a time"),
		r.plotLatency("Latency by percentile", func(m *Measured) bool { return !m.inRegions() }),
		r.plotProcesses("CPU of one unwrap, by process", "CPU, idle included (µs)", (*Measured).cpuMicros),
		r.plotRounds(),
		r.plotProcesses("Bytes on the wire of one unwrap, by who sends them", "packets of QUIC (B)", (*Measured).bytesSent),
		r.plotGoals("Latency in five regions, and its goal", "latency (ms)", time.Millisecond, regionsBegin),
		r.plotLatency("Latency by percentile, in five regions", (*Measured).inRegions),
		r.plotGoals("Overload, and its goal", "time of one opened, or refused (ms)", time.Millisecond, "overload"),
		r.plotScale(),
	} {
		if len(p.series) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// plotGoals draws the goals whose shapes begin in one of these ways.
func (r *Run) plotGoals(title, y string, unit time.Duration, begin ...string) *plot {
	of := func(g Row) bool {
		return slices.ContainsFunc(begin, func(s string) bool { return strings.HasPrefix(g.Shape, s) })
	}
	p := &plot{title: title, x: "shape (name)", y: y}
	all := []series{{name: "measured"}, {name: "at most"}, {name: "what the goal is a multiple of"}}
	for _, g := range r.Goals {
		if g.Verdict == NotMeasured || !of(g) {
			continue
		}
		for i, d := range []time.Duration{g.Measured, g.Limit, total(g.Base)} {
			all[i].points = append(all[i].points, [2]float64{float64(len(p.labels)), float64(d) / float64(unit)})
		}
		p.labels = append(p.labels, g.Shape)
	}
	if len(p.labels) > 0 {
		p.series = all
	}
	return p
}

// last are the shapes that differ, of several rounds the last.
func (r *Run) last() (out []Measured) {
	for _, m := range r.Shapes {
		out = slices.DeleteFunc(out, func(o Measured) bool { return o.Shape.String() == m.Shape.String() })
		out = append(out, m)
	}
	return out
}

// nines makes a percentage a place on an axis on which each nine has the same room.
func nines(percent float64) float64 { return -math.Log10(1 - min(percent, 99.999)/100) }

// inRegions says whether the nodes were far away.
func (m *Measured) inRegions() bool { return strings.HasPrefix(m.Shape.Name, regionsBegin) }

func (r *Run) plotLatency(title string, of func(*Measured) bool) *plot {
	p := &plot{title: title, x: "requests that took at most so long (%)", y: "latency, logarithmic (ms)", log: true}
	deepest := 99.0
	for _, m := range r.last() {
		if !of(&m) {
			continue
		}
		s := series{name: m.Shape.short()}
		for _, q := range m.Taken.Latency.Curve {
			s.points = append(s.points, [2]float64{nines(q.Percent), float64(q.Took) / float64(time.Millisecond)})
			deepest = max(deepest, q.Percent)
		}
		if len(s.points) > 0 {
			p.series = append(p.series, s)
		}
	}
	for _, at := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		p.ticks = append(p.ticks, mark{nines(at), fmt.Sprint(at)})
		if at >= deepest {
			break
		}
	}
	return p
}

// share is what one process has of something.
type share struct {
	process string
	of      float64
}

func (m *Measured) cpuMicros() (out []share) {
	for _, c := range m.CPU {
		out = append(out, share{c.Process, float64(c.Each) / float64(time.Microsecond)})
	}
	return out
}

func (m *Measured) bytesSent() (out []share) {
	if m.Sent == 0 {
		return nil
	}
	for _, c := range m.Counts {
		out = append(out, share{c.Process, c.Sent})
	}
	return out
}

// plotProcesses draws what the processes have each of something.
func (r *Run) plotProcesses(title, y string, of func(*Measured) []share) *plot {
	p := &plot{title: title, x: "shape (name)", y: y, stacked: true}
	at := map[string]int{}
	for _, m := range r.last() {
		all := of(&m)
		if len(all) < 2 {
			continue // of the nodes nothing is known
		}
		i := len(p.labels)
		p.labels = append(p.labels, m.Shape.short())
		for _, s := range all {
			k, ok := at[s.process]
			if !ok {
				k, at[s.process] = len(p.series), len(p.series)
				p.series = append(p.series, series{name: s.process})
			}
			p.series[k].points = append(p.series[k].points, [2]float64{float64(i), s.of})
		}
	}
	return p
}

func (r *Run) plotScale() *plot {
	if r.Scale == nil {
		return &plot{}
	}
	return r.Scale.plot()
}

func (r *Run) plotRounds() *plot {
	p := &plot{title: "Ratio to the floor in each round", x: "round (number)", y: "measured / floor (ratio)"}
	for _, g := range r.Goals {
		if len(g.Ratios) == 0 {
			continue
		}
		s := series{name: g.Shape}
		for i, ratio := range g.Ratios {
			s.points = append(s.points, [2]float64{float64(i + 1), ratio})
		}
		for i := len(p.ticks) + 1; i <= len(g.Ratios); i++ {
			p.ticks = append(p.ticks, mark{float64(i), fmt.Sprint(i)})
		}
		p.series = append(p.series, s)
	}
	return p
}
