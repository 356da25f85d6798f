package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// sketch is what a reader sees of one plot.
type sketch struct {
	title, x, y string
	series      []string
	marks       int // what is drawn of the series
}

// lacks says what a plot owes its reader.
func (s *sketch) lacks() (out []string) {
	unit := func(axis string) bool { return strings.Contains(axis, " (") && strings.HasSuffix(axis, ")") }
	for what, bad := range map[string]bool{
		"a title": s.title == "", "an x axis with its unit": !unit(s.x), "a y axis with its unit": !unit(s.y),
		"a series": len(s.series) == 0, "anything drawn": s.marks == 0,
	} {
		if bad {
			out = append(out, what)
		}
	}
	for _, name := range s.series {
		if strings.TrimSpace(name) == "" {
			out = append(out, "the name of a series")
		}
	}
	return out
}

// readPage reads the plots of a page, which must be well-formed.
func readPage(page io.Reader) (all []*sketch, err error) {
	d := xml.NewDecoder(page)
	var open []string // the classes of the elements that are open
	var now *sketch
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			attr := map[string]string{}
			for _, a := range e.Attr {
				attr[a.Name.Local] = a.Value
			}
			for _, outside := range []string{"src", "href"} {
				if attr[outside] != "" {
					return nil, fmt.Errorf("the page needs %s", attr[outside])
				}
			}
			open = append(open, attr["class"])
			switch {
			case e.Name.Local == "svg":
				now = &sketch{}
				all = append(all, now)
			case attr["class"] == "series":
				now.series = append(now.series, attr["data-name"])
			case e.Name.Local == "polyline" || e.Name.Local == "rect":
				now.marks++
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if now == nil || len(open) == 0 {
				continue
			}
			for class, into := range map[string]*string{"title": &now.title, "x-axis": &now.x, "y-axis": &now.y} {
				if open[len(open)-1] == class {
					*into = string(e)
				}
			}
		}
	}
}

// sample is a run with something for every plot.
func sample() *Run {
	ms := time.Millisecond
	measured := func(name string, inFlight int) Measured {
		return Measured{
			Shape:  Shape{Name: name, Load: Load{N: 100, InFlight: inFlight}, Batch: 1, Clients: 1},
			Taken:  Taken{Latency: Latency{P50: ms, P99: 2 * ms, Longest: 3 * ms, Curve: []Quantile{{0, ms / 2}, {50, ms}, {99, 2 * ms}}}},
			CPU:    []CPU{{Process: "client", Each: 300 * us}, {Process: "a<b>", Each: 200 * us}},
			Counts: []Count{{Process: "client", Sent: 900}, {Process: "a<b>", Sent: 400}}, Sent: 1300,
		}
	}
	return &Run{
		Failing: &Failing{
			Spells: []Spell{{Name: "before", To: sec}, {Name: "a is <killed>", Fails: true, From: sec, To: 2 * sec, Asked: 77}, {Name: "after", From: 2 * sec, To: 3 * sec}},
			Slots:  []Slot{{From: 0, For: sec, P50: ms, P99: 2 * ms, Opened: 5}, {From: sec, For: sec}, {From: 2 * sec, For: sec, P50: ms, P99: 3 * ms, Opened: 5, Failed: 1}},
		},
		Machine: Machine{CPU: "one & another", Commit: "c", Command: "warifu-bench goals"}, Began: time.Unix(0, 0), Key: "k", Threshold: 2, Holders: 3,
		Floors: []Floor{{Echo: 50 * us}}, Shapes: []Measured{measured("first sight", 1), measured("first sight", 64), measured("first sight", 64), measured("five regions", 4)},
		Goals: []Row{
			{Shape: "asymmetric, first sight", Goal: "at most <that>", Verdict: Miss, Measured: 300 * us, Limit: 200 * us, Base: []Term{{"echo", 1, 50 * us}}, Ratio: 6, Ratios: []float64{5, 6, 7}},
			{Shape: "one at a time", Goal: "at most that", Verdict: BelowFloor, Why: "arithmetic", Measured: 3 * ms, Limit: 2 * ms, Base: []Term{{"echo", 1, ms}}, Ratio: 3, Ratios: []float64{3, 3, 3}},
			{Shape: "five regions, far", Goal: "at most that", Verdict: Met, Measured: 3 * ms, Limit: 4 * ms, Base: []Term{{"echo", 1, ms}}, Ratio: 3, Ratios: []float64{3}},
			{Shape: "overload", Goal: "at most that", Verdict: Met, Measured: 3 * ms, Limit: 4 * ms, Base: []Term{{"echo", 1, ms}}, Ratio: 3, Ratios: []float64{3}},
			{Shape: "symmetric", Goal: "at most that", Verdict: NotMeasured, Why: "there are none"},
		},
	}
}

func TestEveryPlotHasTitleUnitsAndNames(t *testing.T) {
	var page bytes.Buffer
	if err := sample().Page(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	plots, err := readPage(&page)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(plots) != 11 {
		t.Errorf("%d plots", len(plots))
	}
	titles := map[string]bool{}
	for _, p := range plots {
		if lacks := p.lacks(); len(lacks) > 0 {
			t.Errorf("%q lacks %v", p.title, lacks)
		}
		titles[p.title] = true
	}
	if len(titles) != len(plots) {
		t.Error("two plots have the same title")
	}
	for _, says := range []string{"one &amp; another", "at most &lt;that&gt;", `class="MISS"`, "there are none", "a&lt;b&gt;", `<rect class="span"`, "a is &lt;killed&gt;</text>", "<td>77</td>", "Not as it should be"} {
		if !strings.Contains(text, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
}

// What the reader of plots would not let pass.
func TestAPlotThatOwesSomethingIsSeen(t *testing.T) {
	good := plot{title: "t", x: "round (number)", y: "time (ms)", series: []series{{"s", [][2]float64{{1, 1}, {2, 3}}}}}
	for name, change := range map[string]func(*plot){
		"":                        func(*plot) {},
		"a title":                 func(p *plot) { p.title = "" },
		"an x axis with its unit": func(p *plot) { p.x = "round" },
		"a y axis with its unit":  func(p *plot) { p.y = "" },
		"the name of a series":    func(p *plot) { p.series = []series{{" ", p.series[0].points}} },
		"a series":                func(p *plot) { p.series = nil },
	} {
		p := good
		change(&p)
		all, err := readPage(strings.NewReader(p.svg()))
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		if lacks := strings.Join(all[0].lacks(), ", "); (lacks == "") != (name == "") || !strings.Contains(lacks, name) {
			t.Errorf("it lacks %q, and %q is seen", name, lacks)
		}
	}
	for name, page := range map[string]string{"not well-formed": "<svg><g></svg>", "needs another file": `<svg><image href="x.png"/></svg>`} {
		if _, err := readPage(strings.NewReader(page)); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

func TestMarksAreRoundAndReachTheTop(t *testing.T) {
	for ends, want := range map[[2]float64]string{{0.3, 740}: "0.1 1 10 100 1000", {2, 3}: "1 10", {1, 1}: "1 10", {math.Inf(1), 0}: "1 10"} {
		var got []string
		for _, m := range decades(ends[0], ends[1]) {
			got = append(got, m.says)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, want %s", ends, got, want)
		}
	}
	for top, want := range map[float64]string{0: "0 0.2 0.4 0.6 0.8 1", 5: "0 1 2 3 4 5", 738: "0 200 400 600 800", 0.03: "0 0.01 0.02 0.03", 8073: "0 2000 4000 6000 8000 10000"} {
		var got []string
		for _, m := range round125(top) {
			got = append(got, m.says)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, want %s", top, got, want)
		}
	}
}
