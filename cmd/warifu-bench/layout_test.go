package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/bench/cluster"
)

const twoCities = `
#        a way is as long as the way back
         tokyo  osaka  clients
tokyo    1ms    10ms   5ms
osaka    10ms   2ms    12ms   # in the west
clients  5ms    12ms   0
`

func TestNodesStandWhereTheTableSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(file, []byte(twoCities), 0o600); err != nil {
		t.Fatal(err)
	}
	f := layoutFlags{nodes: 4, threshold: 2, roundTrips: file}
	if err := f.check(true); err != nil {
		t.Fatal(err)
	}
	var c cluster.Config
	f.apply(&c)
	if len(c.Nodes) != 4 || c.T != 2 || c.Nodes[2] != (cluster.Node{ID: "node-3", Region: "tokyo"}) || c.Nodes[3].Region != "osaka" {
		t.Fatalf("%+v", c)
	}
	for between, want := range map[[2]string]time.Duration{
		{"node-1", "node-3"}: ms, {"node-1", "node-4"}: 10 * ms, {"node-4", "node-2"}: 2 * ms, {cluster.Outside, "node-3"}: 5 * ms, {"node-2", cluster.Outside}: 12 * ms,
	} {
		if got := c.Distance(between[0], between[1]); got != want {
			t.Errorf("%v: %v, want %v", between, got, want)
		}
	}
}

func TestWhatIsNotSaidIsAsManyAsCanBe(t *testing.T) {
	for _, row := range []struct {
		asked layoutFlags
		n, t  int
	}{{layoutFlags{nodes: 7}, 7, 4}, {layoutFlags{threshold: 2}, 5, 2}, {layoutFlags{nodes: 3}, 3, 2}} {
		if err := row.asked.check(true); err != nil {
			t.Fatal(err)
		}
		var c cluster.Config
		if row.asked.apply(&c); len(c.Nodes) != row.n || c.T != row.t || c.Distance != nil {
			t.Errorf("%+v: %d of %d", row.asked, c.T, len(c.Nodes))
		}
	}
	var none layoutFlags
	c := cluster.Config{}
	if none.apply(&c); c.Nodes != nil || c.T != 0 {
		t.Errorf("%+v", c)
	}
}

func TestTablesThatSayNothingClearAreRefused(t *testing.T) {
	if _, err := readDistances(twoCities); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no clients":      {"clients", "others"},
		"one way":         {"osaka    10ms", "osaka    11ms"},
		"a line less":     {"osaka    10ms   2ms    12ms   # in the west", ""},
		"a cell less":     {"tokyo    1ms    10ms   5ms", "tokyo    1ms    10ms"},
		"no time":         {"2ms", "two"},
		"before now":      {"2ms", "-2ms"},
		"on the moon":     {"2ms", "1h"},
		"another order":   {"tokyo    1ms", "kyoto    1ms"},
		"a region twice":  {"tokyo  osaka  clients", "tokyo  tokyo  clients"},
		"nothing but fog": {twoCities, "# nothing"},
	} {
		if _, err := readDistances(strings.Replace(twoCities, change[0], change[1], 1)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
