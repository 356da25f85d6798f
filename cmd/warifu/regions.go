package main

import (
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// pin pins an order to regions. Unless holders are given, those are all nodes there:
// where they are too few, it says so with the arithmetic.
func pin(o *authority.Order, g *authority.Genesis, regions []string, holdersGiven bool) error {
	o.Regions = slices.Compact(slices.Sorted(slices.Values(regions)))
	var there []string
	for _, n := range g.Roster {
		if there = append(there, n.Region); holdersGiven && slices.Contains(o.Holders, n.ID) && !o.Admits(&n) {
			return fail(exitUsage, "--holders: %s is in %s, not in %s", n.ID, n.Region, strings.Join(o.Regions, ", "))
		}
	}
	there = slices.Compact(slices.Sorted(slices.Values(there)))
	for _, r := range o.Regions {
		if !slices.Contains(there, r) {
			return fail(exitUsage, "--regions: no node is in %q; nodes are in %s", r, strings.Join(there, ", "))
		}
	}
	if holdersGiven || len(o.Regions) == 0 {
		return nil
	}
	o.Holders = o.Admitted(g.Roster)
	if have := len(o.Holders); have < int(o.T) {
		return fail(exitUsage, "--regions: %s in %s (%s), and it takes %d to open the key: name another region beside, or add nodes there (warifu node add)",
			are(have, "node"), strings.Join(o.Regions, ", "), orWord(strings.Join(o.Holders, ", "), "none"), o.T)
	}
	return nil
}

// are says how many there are.
func are(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return fmt.Sprintf("%d %ss are", n, thing)
}

// hasRoom refuses, with the arithmetic, that one node takes the place of another while a
// key that is pinned to regions would have too few nodes there. The ledger would.
func hasRoom(keys []api.KeySummary, g *authority.Genesis, m *authority.Membership) error {
	for _, k := range keys {
		if len(k.Regions) == 0 || !slices.Contains(k.Holders, m.Leaver) || slices.Contains(k.Struck, m.Leaver) {
			continue
		}
		o := authority.Order{Regions: k.Regions}
		room := slices.DeleteFunc(o.Admitted(append(slices.Clone(g.Roster), *m.Newcomer)), func(id string) bool { return id == m.Leaver })
		if len(room) < int(k.T) {
			return fail(exitInput, "without %s, %s left in %s, to which %s is pinned, and it takes %d: let a node of these regions take its place",
				m.Leaver, are(len(room), "node"), strings.Join(k.Regions, ", "), k.Name, k.T)
		}
	}
	return nil
}
