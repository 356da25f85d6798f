package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"warifu.dev/bench/cluster"
)

// layoutFlags say what cluster is started: how many nodes, how many of them open an
// envelope, and where they stand.
type layoutFlags struct {
	nodes, threshold int    // 0: as the demo has them
	roundTrips       string // file of a table
	table            *distances
}

func (f *layoutFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.nodes, "nodes", 0, "with --start: how many nodes (default: five, or one in each region of --round-trips)")
	flags.IntVar(&f.threshold, "threshold", 0, "with --start: how many of them open an envelope (default: a majority)")
	flags.StringVar(&f.roundTrips, "round-trips", "", "with --start: file with the round trips between regions and clients, a table; nodes are put into its regions by turns")
}

// asked says whether any of it was.
func (f *layoutFlags) asked() bool { return f.nodes != 0 || f.threshold != 0 || f.roundTrips != "" }

// The sizes that there can be: a quorum needs two, and a key has 16 holders at most.
const (
	fewestNodes = 3
	mostNodes   = 16
	// mostSymmetric is how many holders a symmetric key has at most: more would each hold
	// too many sets' keys.
	mostSymmetric = 9
)

func checkSizes(sizes []int) error {
	for _, n := range sizes {
		if n < fewestNodes || n > mostNodes {
			return fmt.Errorf("a cluster here has %d to %d nodes, not %d", fewestNodes, mostNodes, n)
		}
	}
	if len(sizes) == 0 {
		return errors.New("which sizes?")
	}
	return nil
}

// check reads the table, fills in what was not asked for, and holds the numbers against
// their bounds.
func (f *layoutFlags) check(start bool) (err error) {
	switch {
	case !f.asked():
		return nil
	case !start:
		return errors.New("--nodes, --threshold and --round-trips need --start: a cluster that runs has them")
	}
	if f.roundTrips != "" {
		b, err := os.ReadFile(f.roundTrips)
		if err != nil {
			return err
		}
		if f.table, err = readDistances(string(b)); err != nil {
			return fmt.Errorf("%s: %w", f.roundTrips, err)
		}
	}
	if f.nodes == 0 {
		f.nodes = len(cluster.DemoNodes)
		if f.table != nil {
			f.nodes = max(fewestNodes, len(f.table.regions))
		}
	}
	if err := checkSizes([]int{f.nodes}); err != nil {
		return err
	}
	if f.threshold == 0 {
		f.threshold = f.nodes/2 + 1
	}
	if f.threshold < 2 || f.threshold >= f.nodes {
		return fmt.Errorf("of %d nodes 2 to %d open an envelope, so that one may fail, not %d", f.nodes, f.nodes-1, f.threshold)
	}
	return nil
}

// apply changes the configuration of the cluster that is to be started.
func (f *layoutFlags) apply(c *cluster.Config) {
	if !f.asked() {
		return
	}
	c.T, c.Nodes = f.threshold, numbered(f.nodes, f.table.names())
	if f.table != nil {
		c.Distance = f.table.between(c.Nodes)
	}
}

// numbered are n nodes, in some regions by turns.
func numbered(n int, regions []string) (out []cluster.Node) {
	for i := range n {
		out = append(out, cluster.Node{ID: fmt.Sprintf("node-%d", i+1), Region: regions[i%len(regions)]})
	}
	return out
}

// clientsRow is what a table of distances calls those who are in no region.
const clientsRow = "clients"

// mostAway is longer than any way on earth.
const mostAway = 10 * time.Second

// distances is a table of round trips: a line of names, and one for each of them, which
// begins with it. "#" begins what is for readers.
//
//	         tokyo  osaka  clients
//	tokyo    1ms    10ms   5ms
//	osaka    10ms   1ms    12ms
//	clients  5ms    12ms   0
type distances struct {
	regions []string // and clients after them
	away    [][]time.Duration
}

func readDistances(text string) (*distances, error) {
	var rows [][]string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if cells := strings.Fields(line); len(cells) > 0 {
			rows = append(rows, cells)
		}
	}
	if len(rows) < 2 || rows[0][len(rows[0])-1] != clientsRow {
		return nil, fmt.Errorf("a table begins with the names of regions, and %q after them", clientsRow)
	}
	names := rows[0]
	if len(rows) != len(names)+1 || len(names) > mostNodes+1 {
		return nil, fmt.Errorf("%d names and %d lines below them; at most %d regions", len(names), len(rows)-1, mostNodes)
	}
	d := &distances{regions: names[:len(names)-1], away: make([][]time.Duration, len(names))}
	for i, row := range rows[1:] {
		if slices.Contains(names[:i], names[i]) || row[0] != names[i] || len(row) != len(names)+1 {
			return nil, fmt.Errorf("line %d is that of %s, which is there once: its name, and %d round trips", i+2, names[i], len(names))
		}
		for _, cell := range row[1:] {
			away, err := time.ParseDuration(cell)
			if err != nil || away < 0 || away > mostAway {
				return nil, fmt.Errorf("%s: a round trip is from 0 to %v, not %q", names[i], mostAway, cell)
			}
			d.away[i] = append(d.away[i], away)
		}
	}
	for i := range names {
		for k := range i {
			if d.away[i][k] != d.away[k][i] {
				return nil, fmt.Errorf("from %s to %s it is %v, and %v back", names[i], names[k], d.away[i][k], d.away[k][i])
			}
		}
	}
	return d, nil
}

// names are the regions', or that of the one where there is no table.
func (d *distances) names() []string {
	if d == nil {
		return []string{"here"}
	}
	return d.regions
}

// between is the round trip between nodes, and between them and clients.
func (d *distances) between(nodes []cluster.Node) func(a, b string) time.Duration {
	row := map[string]int{cluster.Outside: len(d.regions)}
	for _, n := range nodes {
		row[n.ID] = slices.Index(d.regions, n.Region)
	}
	return func(a, b string) time.Duration { return d.away[row[a]][row[b]] }
}
