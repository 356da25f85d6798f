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
body { font: 14px/1.4 sans-serif; margin: 1em auto; max-width: 1260px; color: #222; }
table { border-collapse: collapse; margin: 0 0 1em; } td, th { padding: .15em .7em; text-align: left; border-bottom: 1px solid #ddd; }
svg { background: #fff; } svg text { font: 11px sans-serif; fill: #222; } svg text.title { font-size: 14px; font-weight: bold; }
.grid { stroke: #ddd; } .MISS { color: #b00; font-weight: bold; } .FLOOR { color: #850; }
</style></head><body><h1>What unwraps cost</h1>`, esc(r.Began.Format(time.RFC3339)))
	out("<table>")
	row := func(cells ...string) { out("<tr><td>%s</td></tr>", strings.Join(cells, "</td><td>")) }
	r.Machine.write(func(format string, args ...any) {
		name, value, _ := strings.Cut(fmt.Sprintf(format, args...), "\t")
		row(esc(name), esc(value))
	}, r.Began)
	row("key", esc(r.key()))
	row("peer", esc(r.peer()))
	out("</table>")
	for _, p := range r.plots() {
		out("%s", p.svg())
	}
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
			row(esc(g.Shape), measured, limit, fmt.Sprintf(`<span class="%s">%s</span>`, esc(g.Verdict), esc(g.Verdict)), esc(strings.Join(how, "; ")), ratio)
		}
		out("</table>")
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

// plots are the drawings that this run has something for.
func (r *Run) plots() (out []*plot) {
	for _, p := range []*plot{
		r.plotGoals("CPU of one unwrap, and its goal", "CPU of client and all nodes (µs)", time.Microsecond, func(g Row) bool { return strings.HasPrefix(g.Shape, "asymmetric") }),
		r.plotGoals("Latency, and its goal", "latency (ms)", time.Millisecond, func(g Row) bool { return !strings.HasPrefix(g.Shape, "asymmetric") }),
		r.plotLatency(), r.plotProcesses(), r.plotRounds(), r.plotScale(),
	} {
		if len(p.series) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func (r *Run) plotGoals(title, y string, unit time.Duration, of func(Row) bool) *plot {
	p := &plot{title: title, x: "shape (name)", y: y}
	all := []series{{name: "measured"}, {name: "at most"}, {name: "floor"}}
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

func (r *Run) plotLatency() *plot {
	p := &plot{title: "Latency by percentile", x: "requests that took at most so long (%)", y: "latency (ms)"}
	deepest := 99.0
	for _, m := range r.last() {
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

func (r *Run) plotProcesses() *plot {
	p := &plot{title: "CPU of one unwrap, by process", x: "shape (name)", y: "CPU, idle included (µs)", stacked: true}
	at := map[string]int{}
	for _, m := range r.last() {
		if len(m.CPU) < 2 {
			continue // of the nodes nothing is known
		}
		i := len(p.labels)
		p.labels = append(p.labels, m.Shape.short())
		for _, c := range m.CPU {
			k, ok := at[c.Process]
			if !ok {
				k, at[c.Process] = len(p.series), len(p.series)
				p.series = append(p.series, series{name: c.Process})
			}
			p.series[k].points = append(p.series[k].points, [2]float64{float64(i), float64(c.Each) / float64(time.Microsecond)})
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
		for i := len(p.ticks); i <= len(g.Ratios); i++ {
			p.ticks = append(p.ticks, mark{float64(i), fmt.Sprint(i)})
		}
		p.series = append(p.series, s)
	}
	return p
}
