package bench

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// plot is a drawing with two axes, of lines or, where it has labels, of bars.
type plot struct {
	title   string
	x, y    string // what the axes say; units stand in brackets
	labels  []string
	ticks   []mark // of x, where there are no labels; none means at round numbers
	series  []series
	stacked bool   // bars of one label stand on each other
	log     bool   // each power of ten has the same room on y
	spans   []span // of x, where there are no labels
}

// span is a part of the x axis that has a name.
type span struct {
	from, to float64
	says     string
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
	plotTop, innerHigh            = 30, 185
	innerWide                     = plotWide - plotLeft - plotRight
	runeWide, labelLine           = 6, 12 // of what is written; a rune's is an average
	labelLines                    = 6     // that a label under a bar has at most
	legendLine, legendBox         = 16, 10
	legendColumns                 = 6 // at most, of names side by side
	axisRoom                      = 20
	spanLine                      = 12 // names of spans that stand beside each other take turns
)

// colours differ for those who do not tell red from green (Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#444444", "#f0e442"}

func esc(s string) string { return html.EscapeString(s) }

// svg draws it.
func (p *plot) svg() string {
	var b strings.Builder
	out := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	columns, runes, lines := p.legendColumns(), innerWide/runeWide/max(1, len(p.labels)), 1
	for _, l := range p.labels {
		lines = max(lines, len(wrapLabel(l, runes)))
	}
	axisAt := plotTop + innerHigh + labelLine*lines + axisRoom
	legendFrom := axisAt + legendBox
	high := legendFrom + legendLine*((len(p.series)+columns-1)/columns)
	out(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, plotWide, high, plotWide, high)
	out(`<title>%s</title>`, esc(p.title))
	out(`<text class="title" x="%d" y="20" text-anchor="middle">%s</text>`, plotWide/2, esc(p.title))
	xs, ys := p.xMarks(), p.yMarks()
	left, right := xs[0].at, xs[len(xs)-1].at
	if len(p.labels) > 0 {
		left, right = -0.5, float64(len(p.labels))-0.5
	}
	bottom, top := ys[0].at, ys[len(ys)-1].at
	atX := func(v float64) float64 { return plotLeft + (v-left)/max(right-left, 1e-9)*innerWide }
	atY := func(v float64) float64 {
		share := (v - bottom) / (top - bottom)
		if p.log {
			share = math.Log(max(v, bottom)/bottom) / math.Log(top/bottom)
		}
		return plotTop + innerHigh - share*innerHigh
	}
	for i, s := range p.spans {
		out(`<rect class="span" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`, atX(s.from), plotTop, max(1, atX(s.to)-atX(s.from)), innerHigh, esc(s.says))
		out(`<text class="mark" x="%.1f" y="%d">%s</text>`, atX(s.from)+3, plotTop+spanLine*(1+i%2), esc(s.says))
	}
	for _, m := range ys {
		out(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWide-plotRight, atY(m.at), atY(m.at))
		out(`<text class="mark" x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft-6, atY(m.at)+4, esc(m.says))
	}
	for _, m := range xs {
		for i, line := range wrapLabel(m.says, runes) {
			out(`<text class="mark" x="%.1f" y="%d" text-anchor="middle">%s</text>`, atX(m.at), plotTop+innerHigh+labelLine*(1+i)+2, esc(line))
		}
	}
	out(`<text class="x-axis" x="%d" y="%d" text-anchor="middle">%s</text>`, plotLeft+innerWide/2, axisAt, esc(p.x))
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
			if !p.stacked {
				out(`<text class="value" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x+w/2, atY(q[1])-3, threeDigits(q[1]))
			}
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
	longest := 1
	for _, s := range p.series {
		longest = max(longest, len(s.name))
	}
	return min(legendColumns, max(1, innerWide/(2*legendBox+runeWide*longest)))
}

// threeDigits writes a number so that it is read at once.
func threeDigits(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// yMarks are what stands along the y axis, from below.
func (p *plot) yMarks() []mark {
	if !p.log {
		return round125(p.highest())
	}
	least := math.Inf(1)
	for _, s := range p.series {
		for _, q := range s.points {
			if q[1] > 0 {
				least = min(least, q[1])
			}
		}
	}
	return decades(least, p.highest())
}

// decades are powers of ten from at most least to at least top.
func decades(least, top float64) (out []mark) {
	if !(top > 0) || math.IsInf(least, 0) {
		least, top = 1, 10
	}
	from, to := math.Floor(math.Log10(least)), math.Ceil(math.Log10(top))
	for e := from; e <= max(to, from+1); e++ {
		out = append(out, mark{math.Pow(10, e), strconv.FormatFloat(math.Pow(10, e), 'f', -1, 64)})
	}
	return out
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
		out = append(out, mark{at, threeDigits(at)})
		if at >= top {
			return out
		}
	}
}

// wrapLabel breaks a label at its spaces into few lines of about so many runes.
func wrapLabel(s string, runes int) (lines []string) {
	for _, word := range strings.Fields(s) {
		if n := len(lines); n > 0 && (len(lines[n-1])+1+len(word) <= runes || n == labelLines) {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
