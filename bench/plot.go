package bench

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plot is a drawing with two axes, of lines or, where it has labels, of bars.
type plot struct {
	title   string
	x, y    string // what the axes say; units stand in brackets
	labels  []string
	ticks   []mark // of x, where there are no labels; none means at round numbers
	series  []series
	stacked bool // bars of one label stand on each other
}

// series is some points of one name; of bars, x is the place of a label.
type series struct {
	name   string
	points [][2]float64
}

// mark is a place on an axis, with what is written there.
type mark struct {
	at   float64
	says string
}

// The frame of every plot, in pixels.
const (
	plotWide, plotLeft, plotRight = 620, 70, 15
	plotTop, innerHigh            = 35, 225
	innerWide                     = plotWide - plotLeft - plotRight
	labelRunes, labelLines        = 18, 3 // what a label under a bar has room for
	legendLine, legendFrom        = 16, plotTop + innerHigh + 68
	legendRunes, legendBox        = 38, 10 // of a name, where two stand side by side
)

// colours differ for those who do not tell red from green (Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#444444", "#f0e442"}

func esc(s string) string { return html.EscapeString(s) }

// svg draws it.
func (p *plot) svg() string {
	var b strings.Builder
	out := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	columns := p.legendColumns()
	high := legendFrom + legendLine*((len(p.series)+columns-1)/columns)
	out(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, plotWide, high, plotWide, high)
	out(`<title>%s</title>`, esc(p.title))
	out(`<text class="title" x="%d" y="20" text-anchor="middle">%s</text>`, plotWide/2, esc(p.title))
	xs, ys := p.xMarks(), round125(p.highest())
	left, right := xs[0].at, xs[len(xs)-1].at
	if len(p.labels) > 0 {
		left, right = -0.5, float64(len(p.labels))-0.5
	}
	top := ys[len(ys)-1].at
	atX := func(v float64) float64 { return plotLeft + (v-left)/max(right-left, 1e-9)*innerWide }
	atY := func(v float64) float64 { return plotTop + innerHigh - v/top*innerHigh }
	for _, m := range ys {
		out(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWide-plotRight, atY(m.at), atY(m.at))
		out(`<text class="mark" x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft-6, atY(m.at)+4, esc(m.says))
	}
	for _, m := range xs {
		for i, line := range wrapLabel(m.says) {
			out(`<text class="mark" x="%.1f" y="%d" text-anchor="middle">%s</text>`, atX(m.at), plotTop+innerHigh+14+12*i, esc(line))
		}
	}
	out(`<text class="x-axis" x="%d" y="%d" text-anchor="middle">%s</text>`, plotLeft+innerWide/2, legendFrom-14, esc(p.x))
	out(`<text class="y-axis" x="14" y="%d" text-anchor="middle" transform="rotate(-90 14 %d)">%s</text>`, plotTop+innerHigh/2, plotTop+innerHigh/2, esc(p.y))
	floor := make([]float64, len(p.labels)) // of what is stacked
	for i, s := range p.series {
		colour := colours[i%len(colours)]
		out(`<g class="series" data-name="%s">`, esc(s.name))
		if len(p.labels) == 0 {
			var points []string
			for _, q := range s.points {
				points = append(points, fmt.Sprintf("%.1f,%.1f", atX(q[0]), atY(q[1])))
				out(`<circle cx="%.1f" cy="%.1f" r="2" fill="%s"/>`, atX(q[0]), atY(q[1]), colour)
			}
			out(`<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`, colour, strings.Join(points, " "))
		}
		wide := 0.8 * innerWide / max(float64(len(p.labels)), 1)
		for _, q := range s.points {
			if len(p.labels) == 0 {
				break
			}
			from, x, w := 0.0, atX(q[0])-wide/2, wide
			if p.stacked {
				from = floor[int(q[0])]
				floor[int(q[0])] += q[1]
			} else {
				w = wide / float64(len(p.series))
				x += w * float64(i)
			}
			out(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s: %.4g</title></rect>`, x, atY(from+q[1]), w, max(atY(from)-atY(from+q[1]), 0), colour, esc(s.name), q[1])
		}
		x, y := plotLeft+i%columns*(innerWide/columns), legendFrom+i/columns*legendLine
		out(`<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, x, y, legendBox, legendBox, colour)
		out(`<text class="legend" x="%d" y="%d">%s</text>`, x+legendBox+4, y+9, esc(s.name))
		out(`</g>`)
	}
	out(`</svg>`)
	return b.String()
}

// legendColumns are how many names stand side by side.
func (p *plot) legendColumns() int {
	for _, s := range p.series {
		if len(s.name) > legendRunes {
			return 1
		}
	}
	return 2
}

// xMarks are what stands along the x axis, from left to right.
func (p *plot) xMarks() []mark {
	if len(p.labels) > 0 {
		var out []mark
		for i, l := range p.labels {
			out = append(out, mark{float64(i), l})
		}
		return out
	}
	if len(p.ticks) > 0 {
		return p.ticks
	}
	widest := 0.0
	for _, s := range p.series {
		for _, q := range s.points {
			widest = max(widest, q[0])
		}
	}
	return round125(widest)
}

// highest is the highest point, or stack.
func (p *plot) highest() (top float64) {
	stacks := map[float64]float64{}
	for _, s := range p.series {
		for _, q := range s.points {
			stacks[q[0]] += q[1]
			if top = max(top, q[1]); p.stacked {
				top = max(top, stacks[q[0]])
			}
		}
	}
	return top
}

// round125 are marks from 0 to at least top, in steps of 1, 2 or 5 times a power of ten.
func round125(top float64) []mark {
	if !(top > 0) || math.IsInf(top, 0) {
		top = 1
	}
	const marks = 5
	step := math.Pow(10, math.Floor(math.Log10(top/marks)))
	for _, times := range []float64{1, 2, 5, 10} {
		if times*step*marks >= top {
			step *= times
			break
		}
	}
	var out []mark
	for i := 0; ; i++ {
		at := float64(i) * step
		out = append(out, mark{at, fmt.Sprintf("%.4g", at)})
		if at >= top {
			return out
		}
	}
}

// wrapLabel breaks a label at its spaces into few lines.
func wrapLabel(s string) (lines []string) {
	for _, word := range strings.Fields(s) {
		if n := len(lines); n > 0 && (len(lines[n-1])+1+len(word) <= labelRunes || n == labelLines) {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
