package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// made are points of clusters whose costs are known: a client uses 50 µs and 10 µs for
// each answer, a node 100 µs for an answer.
func made() (points []ScalePoint) {
	for _, size := range [][2]int{{2, 3}, {3, 5}, {4, 7}, {5, 9}} {
		for _, cores := range []int{1, 2} {
			t := size[0]
			p := ScalePoint{
				Threshold: t, Nodes: size[1], Cores: cores, Shape: "repeated envelopes",
				Client: 50*us + time.Duration(t)*10*us, Answer: 100 * us, Echo: 60 * us, P50: time.Millisecond,
			}
			p.Items = float64(cores) / (p.Client + time.Duration(t)*p.Answer).Seconds()
			points = append(points, p)
		}
	}
	return points
}

func TestTheModelFindsWhatThePointsWereMadeOf(t *testing.T) {
	costs := Costs(made())
	if len(costs) != 1 {
		t.Fatalf("%+v", costs)
	}
	c := costs[0]
	if c.Client != 50*us || c.PerAnswer != 10*us || c.Node != 100*us {
		t.Errorf("%+v", c)
	}
	about := func(got, want float64) bool { return math.Abs(got-want) < want/1e6 }
	for _, p := range made() {
		if got := c.Together(p.Threshold, p.Cores); !about(got, p.Items) {
			t.Errorf("%d of %d on %d cores: %f, measured %f", p.Threshold, p.Nodes, p.Cores, got, p.Items)
		}
	}
	// 3 of 5: 80 µs at the client and 300 at the nodes. 16 cores do 16 / 380 µs; a node 16
	// / 100 µs, five of them five times as many answers, of which an item takes three.
	if got := c.Together(3, 16); !about(got, 16/380e-6) {
		t.Errorf("all on 16 cores: %f", got)
	}
	nodes, clients := c.Apart(5, 3, 16)
	if !about(nodes, 5*16/100e-6/3) || !about(clients, 16/80e-6) {
		t.Errorf("apart: %f and %f", nodes, clients)
	}
}

func TestTheModelOfOneSizeOrNoisyPoints(t *testing.T) {
	one := made()[:2]
	if c := Costs(one)[0]; c.PerAnswer != 0 || c.Client != one[0].Client || c.Node != 100*us {
		t.Errorf("of one size: %+v", c)
	}
	falling := made()[:4]
	falling[2].Client, falling[3].Client = us, us // less for more answers: noise
	if c := Costs(falling)[0]; c.PerAnswer != 0 || c.Client <= 0 {
		t.Errorf("of points that fall: %+v", c)
	}
	two := append(made(), ScalePoint{Shape: "first sight", Threshold: 2, Client: us, Answer: 2 * us})
	if c := Costs(two); len(c) != 2 || c[0].Node != 100*us || c[1].Node != 2*us {
		t.Errorf("of two shapes: %+v", c)
	}
	if c := (Cost{}); c.Together(3, 2) <= 0 || math.IsInf(c.Together(3, 2), 0) {
		t.Error("of nothing it says infinity")
	}
}

// What was measured stands beside what the model says of it, in text and on the page.
func TestAScaleIsShown(t *testing.T) {
	s := &Scale{Points: made()}
	s.Costs = Costs(s.Points)
	run := sample()
	run.Scale = s
	var text, page bytes.Buffer
	if err := run.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"16 CORES IN EACH MACHINE", "THE MODEL SAYS", "266667", "42105"} {
		if !strings.Contains(text.String(), says) {
			t.Errorf("the text does not say %q:\n%s", says, &text)
		}
	}
	if err := run.Page(&page); err != nil {
		t.Fatal(err)
	}
	shown := page.String()
	plots, err := readPage(&page)
	if err != nil || len(plots) != 12 || !strings.Contains(shown, "one machine of clients asks for") || !strings.Contains(shown, "42105") {
		t.Fatalf("%d plots, %v", len(plots), err)
	}
	for _, p := range plots {
		if lacks := p.lacks(); len(lacks) > 0 {
			t.Errorf("%q lacks %v", p.title, lacks)
		}
	}
}

func TestScalesOutOfBoundsAreRefused(t *testing.T) {
	for name, c := range map[string]ScaleConfig{
		"no echo":      {N: 1, InFlight: 1, Cores: []int{1}},
		"no cores":     {N: 1, InFlight: 1, Echo: []string{"e"}},
		"fewer cores":  {N: 1, InFlight: 1, Echo: []string{"e"}, Cores: []int{1, 0}},
		"nothing done": {InFlight: 1, Echo: []string{"e"}, Cores: []int{1}},
	} {
		if c.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
