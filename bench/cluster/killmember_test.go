package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
)

// newcomer is who takes another's place.
var newcomer = cluster.Node{ID: "jp-east-6", Region: "jp-east"}

// at are steps of one stage, all of one node. How they fail takes turns. The first seal of
// who comes is made once: when it stands, nothing more of it is come to.
func (l *turning) at(at stage, node string) (out []*kill) {
	for i, r := range moves {
		mode := modes[(i+l.offset/len(cluster.DemoNodes))%len(modes)]
		switch made := l.offset % 3; {
		case r.stage != at:
			continue
		case at == whenNew && r.step == "keyring/write-root":
			mode = modes[made/2]
		case at == whenNew && r.step == "keyring/read-back" && made == 2:
			continue
		case at == whenNew && r.step == "keyring/read-back":
			mode = modes[made]
		}
		out = append(out, &kill{row: r, mode: mode, node: node})
	}
	return out
}

// whoeverLeads plans the death of whoever comes to a step that only the leader takes.
func (l *turning) whoeverLeads(p *kill) (each []*kill) {
	for _, id := range l.c.IDs() {
		if id != newcomer.ID || l.c.PID(id) != 0 {
			each = append(each, &kill{row: row{step: p.step, hit: 1, what: p.what, stage: p.stage}, mode: p.mode, node: id})
		}
	}
	l.plan(each...)
	return each
}

// led waits for that death. Whoever leads next may come to the step as well, before it is
// known that one has died there.
func (l *turning) led(p *kill, each []*kill) {
	l.Helper()
	l.until("a death when "+p.what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.ContainsFunc(each, func(p *kill) bool { return p.done })
	})
	l.left()
	l.fired(p.what)
	for _, q := range each {
		if q.hit = p.hit; q.done {
			l.cells.add([]*kill{q})
		}
	}
	l.lap(p.what)
}

// dead says whether these kills have taken place.
func (l *turning) dead(kills ...*kill) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(kills, func(p *kill) bool { return !p.done })
}

// A node takes another's place while each step of that is the last of whoever takes it:
// the one who comes, the one who goes, and whoever leads. The change is finished, the key
// opens with the one who came, and the one who went has no share of it. R9, R10, R31
func TestANodeMayDieWhenItTakesAnothersPlace(t *testing.T) {
	t.Parallel()
	c := cells{died: map[string]int{}}
	for _, offset := range lives() {
		lived(t, offset, func() []string { return replaceOne(t, &c, offset) })
	}
	want := len(moves)
	if !*everyNode && *life%3 == 2 { // the seal of who comes stands before it is read back
		want--
	}
	if c.print(t, "one that takes another's place", moves, append(demoIDs(), newcomer.ID)) < want {
		t.Error("nobody died at a step of the table")
	}
}

func replaceOne(t *testing.T, c *cells, offset int) []string {
	l := newTurning(t, c, offset)
	ids := l.c.IDs()
	old := slices.Clone(ids)
	leaver := ids[len(ids)-1]
	key := l.born(l.order(ids[0], 30))
	dek := []byte("a data key of before, 32 bytes..")
	envelope := l.envelope(key, dek)
	moved, comes, goes := l.at(whenMoved, ""), l.at(whenNew, newcomer.ID), l.at(whenLeft, leaver)
	l.lap("a key")

	ctx := within(t, 3*turnPatience)
	if err := l.c.Newcomer(ctx, newcomer); err != nil {
		t.Fatal(err)
	}
	leads := l.whoeverLeads(moved[0])
	if err := l.c.Enlist(ctx, authority.KindNodeReplace, newcomer.ID, leaver); err != nil {
		t.Fatal(err)
	}
	l.led(moved[0], leads)

	// It comes to an anchor, with which it is given a vote.
	first := slices.IndexFunc(comes, func(p *kill) bool { return p.step == "join/write-chain" })
	l.plan(comes[:first]...)
	if err := l.c.Join(ctx, newcomer.ID); err != nil {
		t.Fatal(err)
	}
	leads = l.whoeverLeads(moved[1])
	if err := l.c.Restart(newcomer.ID); err != nil {
		t.Fatal(err)
	}
	l.until("who comes says so", func() bool { return l.dead(comes[first-1]) })
	l.led(moved[1], leads)
	l.cells.add(comes[:first])
	l.member(newcomer.ID, true)

	if err := l.c.Stop(newcomer.ID); err != nil {
		t.Fatal(err)
	}
	l.plan(comes[first])
	if err := l.c.Join(ctx, newcomer.ID); err != nil {
		t.Fatal(err)
	}
	if err := l.c.Restart(newcomer.ID); err != nil {
		t.Fatal(err)
	}
	l.fired("a longer chain")
	l.cells.add(comes[first : first+1])
	l.member(newcomer.ID, true)

	comes = comes[first+1:]
	number(comes)
	l.plan(comes...)
	of := l.orders(authority.KindReshare, authority.Renewal{PhaseSeconds: 30, T: 3, F: 1, Root: true, Holders: append(slices.Clone(old[:4]), newcomer.ID)})
	l.done("shares for who comes", comes, l.renewed(of, 1))

	// An epoch is gone when three holders have erased it: without two others the one who
	// goes is needed. It leaves when that is known of the root key too, which may be before
	// they are back.
	for _, away := range old[:2] {
		if err := l.c.Stop(away); err != nil {
			t.Fatal(err)
		}
	}
	l.plan(goes...)
	leads = l.whoeverLeads(moved[2])
	l.passes(2 * time.Minute)
	l.until("who goes has erased, and says so", func() bool {
		gone := l.summary(key).Gone
		return l.dead(goes...) && len(gone) == 1 && !slices.Contains(gone[0].Await, leaver)
	})
	l.cells.add(goes)
	l.lap("who goes has erased")
	for _, back := range old[:2] {
		if err := l.c.Restart(back); err != nil {
			t.Fatal(err)
		}
	}
	l.led(moved[2], leads)
	if err := l.c.Left(leaver); err != nil {
		t.Fatal(err)
	}
	l.serving()
	l.member(leaver, false)

	later := app(t, l.c)
	l.until("all have erased", l.over(key, 1))
	for _, away := range l.c.IDs()[:2] {
		if err := l.c.Stop(away); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the key opens with who came", func() bool {
		got, err := later.Unwrap(t.Context(), envelope, nil, "the test asks")
		return err == nil && string(got.Reveal()) == string(dek)
	})
	if now, err := later.Record(t.Context(), key.Name()); err != nil || string(now.Record().Y) != string(key.Record().Y) || now.Epoch() != 2 {
		t.Errorf("it is another key now: %v", err)
	}
	for _, away := range l.c.IDs()[:2] {
		if err := l.c.Restart(away); err != nil {
			t.Fatal(err)
		}
	}
	l.serving()
	l.agree()
	for _, id := range l.c.IDs() {
		if err := l.c.Stop(id); err != nil {
			t.Fatal(err)
		}
		l.clean(id)
	}
	l.lap("the judge")
	for _, id := range append(l.c.IDs(), leaver) {
		root, shares, known := l.rest(id)
		want, wantRoot := []uint64{2}, uint64(2)
		if id == leaver {
			want, wantRoot = nil, 1 // of which too few are left: all others have erased theirs
		}
		if known && (root != wantRoot || !slices.Equal(shares[key.ID()], want)) {
			t.Errorf("%s has the root key's epoch %d, and of the key the epochs %v", id, root, shares[key.ID()])
		}
	}
	return l.missed
}

// member waits until all nodes say that one has a vote, or that it has none and has left.
func (l *turning) member(id string, is bool) {
	l.Helper()
	asks, err := l.c.Custodian()
	if err != nil {
		l.Fatal(err)
	}
	l.asks.Close()
	l.asks = asks
	waits := func(warning string) bool {
		return strings.Contains(warning, "roster") && (!is || strings.Contains(warning, "no vote"))
	}
	l.until(id+" is a member, or is none", func() bool {
		return !slices.ContainsFunc(asks.Status(l.Context()), func(s client.NodeStatus) bool {
			switch {
			case l.c.PID(s.Node) == 0:
				return false
			case s.Err != nil || s.Answer.FreshFor <= 0:
				return true
			}
			return is == (s.Answer.Anchors[id] == 0) || slices.ContainsFunc(s.Answer.Warnings, waits)
		})
	})
}
