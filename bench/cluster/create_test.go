package cluster_test

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
	"warifu.dev/internal/wire"
)

var createdKeys = flag.Int("created-keys", 10, "how many keys BenchmarkKeyCreate has born in a ceremony, and how many it takes from a pool")

// between is the round trip between two places of the demo's regions, a client being in the
// first of them.
func between(a, b string) time.Duration {
	region := func(id string) string { return strings.TrimRight(cmp.Or(id, "jp-east-"), "-0123456789") }
	switch a, b = region(a), region(b); {
	case a == b:
		return time.Millisecond
	case a == "sg" || b == "sg":
		return 70 * time.Millisecond
	default:
		return 9 * time.Millisecond
	}
}

// BenchmarkKeyCreate is what it takes to make a key, of five real nodes: from the order that
// custodians have signed to the record that a client believes, and how many entries of the
// log there are until every holder has signed it. Keys that are born and keys that are taken
// from a pool are made in turn, in the same run.
func BenchmarkKeyCreate(b *testing.B) {
	m := bench.ThisMachine()
	fmt.Printf("%s, %d cores, load before %s: %s\n", m.CPU, m.Cores, m.Load, m.Command)
	for _, where := range []struct {
		name     string
		distance func(a, b string) time.Duration
	}{{"on one machine", nil}, {"in three regions", between}} {
		b.Run(where.name, func(b *testing.B) { createKeys(b, where.name, where.distance) })
	}
}

func createKeys(b *testing.B, where string, distance func(a, b string) time.Duration) {
	c, _, _ := start(b, cluster.Config{Distance: distance})
	asks, err := c.Custodian()
	if err != nil {
		b.Fatal(err)
	}
	defer asks.Close()
	ctx := b.Context()
	furthest := func() (s *api.StatusAnswer) {
		for _, st := range asks.Status(ctx) {
			if st.Answer != nil && (s == nil || st.Answer.Index > s.Index) {
				s = st.Answer
			}
		}
		if s == nil {
			b.Fatal("no node answers")
		}
		return s
	}
	holders := c.IDs()
	pool := authority.Pool{Name: "ahead", Size: uint32(2 * *createdKeys), T: 3, F: 1, Holders: holders, PhaseSeconds: 60, LifeSeconds: authority.MaxPoolLife}
	began := time.Now()
	if _, err := c.Submit(ctx, authority.KindPool, wire.Encode(pool), api.Digest{}); err != nil {
		b.Fatal(err)
	}
	full := func() bool {
		list := furthest().Pools
		return len(list) == 1 && list[0].Waiting == pool.Size
	}
	for !full() {
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Printf("%s: %d keys are born ahead in %v\n", where, pool.Size, time.Since(began).Round(100*time.Millisecond))

	otherwise := slices.Clone(holders) // the same nodes with other indices, of which there is no pool
	slices.Reverse(otherwise)
	took, entries := map[string][]time.Duration{}, map[string][]int{}
	for i := range *createdKeys {
		for how, among := range map[string][]string{"born": otherwise, "from a pool": holders} {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(how, " ", "-"), i)
			before, began := furthest().Index, time.Now()
			order := authority.Order{Cluster: c.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: 3, F: 1, Holders: among, PhaseSeconds: 60}
			if _, err := c.Submit(ctx, authority.KindKey, wire.Encode(order), api.Digest{}); err != nil {
				b.Fatal(err)
			}
			if _, err := asks.WaitKey(ctx, name); err != nil {
				b.Fatal(err)
			}
			took[how] = append(took[how], time.Since(began))
			for signed := false; !signed; time.Sleep(20 * time.Millisecond) {
				keys, err := asks.Keys(ctx)
				if err != nil {
					b.Fatal(err)
				}
				signed = slices.ContainsFunc(keys, func(k api.KeySummary) bool { return k.Name == name && int(k.Signed) == len(among) })
			}
			entries[how] = append(entries[how], int(furthest().Index-before))
		}
	}
	for _, how := range []string{"born", "from a pool"} {
		slices.Sort(took[how])
		slices.Sort(entries[how])
		n := *createdKeys
		fmt.Printf("%s: %-12s believed after %v (median of %d; %v to %v), %d entries of the log (the least; median %d)\n", where, how,
			took[how][n/2].Round(time.Millisecond), n, took[how][0].Round(time.Millisecond), took[how][n-1].Round(time.Millisecond), entries[how][0], entries[how][n/2])
	}
}
