package ledger_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// spread puts the nodes of a cluster into three regions: n1 and n2, n3 and n4, n5.
func spread(g *authority.Genesis) {
	for i, r := range []string{"jp-east", "jp-east", "jp-west", "jp-west", "sg"} {
		g.Roster[i].Region = r
	}
}

// japan is the order of a key that is pinned to the two regions with n1 to n4.
func (w *world) japan(alter ...func(*authority.Order)) authority.Order {
	o := w.order("payroll")
	o.Holders, o.Regions = []string{"n1", "n2", "n3", "n4"}, []string{"jp-east", "jp-west"}
	for _, a := range alter {
		a(&o)
	}
	return o
}

// pinned is a cluster in three regions with a key, payroll, that is pinned to two.
func pinned(t *testing.T, alter ...func(*authority.Order)) (*world, api.KeyID) {
	t.Helper()
	w := newWorldOf(t, 5, 5, 3, spread)
	w.birth(w.rootOrder())
	order := w.sign(w.orderChange(w.japan(alter...)), 0, 1)
	w.accept(order)
	return w, w.birth(order.ID()).ID
}

func TestNoOrderGivesAPinnedKeyHoldersElsewhere(t *testing.T) {
	w, id := pinned(t)
	k := w.s.Key(id)
	if got := w.s.Regions(k); !slices.Equal(got, []string{"jp-east", "jp-west"}) {
		t.Fatalf("it is pinned to %v", got)
	}
	other := w.japan(func(o *authority.Order) { o.Name, o.Holders[3] = "other", "n5" })
	w.refuse(w.sign(w.orderChange(other), 0, 1).Encode(), authority.ErrRegion)
	for sentence, regions := range map[string][]string{
		"not ascending": {"jp-west", "jp-east"},
		"one twice":     {"jp-east", "jp-east", "jp-west"},
		"no name":       {"", "jp-east", "jp-west"},
		"too many":      slices.Repeat([]string{"jp-east"}, authority.MaxRegions+1),
	} {
		w.TB = under(t, sentence)
		w.refuse(w.sign(w.orderChange(w.japan(func(o *authority.Order) { o.Name, o.Regions = "other", regions })), 0, 1).Encode(), authority.ErrOrder)
		w.TB = t
	}
	reshare := authority.Renewal{Keys: []api.KeyID{id}, PhaseSeconds: 30, T: 3, F: 1, Holders: []string{"n1", "n2", "n3", "n5"}}
	w.refuse(w.sign(w.changeOf(authority.KindReshare, reshare), 0, 1).Encode(), authority.ErrRegion)
	reshare.Holders, reshare.F = []string{"n4", "n3", "n1"}, 0
	w.accept(w.sign(w.changeOf(authority.KindReshare, reshare), 0, 1))
	w.refuse(w.next(id, 2, func(o *authority.Order) {
		*o = w.japan(func(o *authority.Order) { o.Holders[0] = "n5" })
		o.Key, o.Version = &id, 2
	}).Encode(), authority.ErrRegion)
	w.accept(w.next(id, 2, func(o *authority.Order) { *o = w.japan(); o.Key, o.Version = &id, 2 }))
}

// A reshare of all keys leaves out those that not all of its holders may hold, and takes
// them where all may.
func TestAReshareOfAllKeysLeavesOutWhatIsPinnedElsewhere(t *testing.T) {
	for sentence, c := range map[string]struct {
		holders []string
		want    uint32
	}{
		"with a node elsewhere": {[]string{"n1", "n2", "n3", "n5"}, 1},
		"there alone":           {[]string{"n4", "n3", "n2", "n1"}, 2},
	} {
		t.Run(sentence, func(t *testing.T) {
			w, id := pinned(t)
			all := w.sign(w.changeOf(authority.KindReshare, authority.Renewal{PhaseSeconds: 30, T: 3, F: 1, Holders: c.holders, Root: true}), 0, 1)
			w.accept(all)
			r := w.s.Renewal(all.ID())
			if r.Total != c.want {
				t.Errorf("it is about %d keys, with the root key, want %d", r.Total, c.want)
			}
			if b := w.s.NextBatch(r); len(b.Keys) != 1 || b.Keys[0].ID == id {
				t.Errorf("the root key does not come first: %+v", b.Keys)
			}
		})
	}
}

// A client believes no record of a pinned key with a holder elsewhere, also where enough
// holders have signed it.
func TestARecordWithAHolderElsewhereIsNotBelieved(t *testing.T) {
	w, id := pinned(t)
	k := w.s.Key(id)
	w.signedBy(k, "n1", "n2", "n3")
	signed := w.s.SignedRecord(w.s.Key(id), &w.s.Key(id).Epoch)
	if r, err := signed.Verify(w.genesis); err != nil || len(r.Order().Regions) != 2 {
		t.Fatal(err)
	}
	// The same record under an order that custodians signed for a node elsewhere.
	o := w.japan(func(o *authority.Order) { o.Holders[3] = "n5" })
	e := w.sign(w.orderChange(o), 0, 1)
	r := signed.Record
	r.Order = e.Encode()
	r.Key = authority.KeyIDOf(authority.SessionID(w.genesis.Cluster, r.RosterVersion, e.ID(), r.Attempt, r.LinkBefore))
	forged := &authority.SignedRecord{Record: r}
	for _, n := range []string{"n1", "n2", "n3"} {
		sig, err := authority.SignRecord(rand.Reader, w.nodes[n], &r)
		if err != nil {
			t.Fatal(err)
		}
		forged.Signatures = append(forged.Signatures, sig)
	}
	if _, err := forged.Verify(w.genesis); !errors.Is(err, authority.ErrRecord) || !errors.Is(err, authority.ErrRegion) {
		t.Errorf("a record with a holder in sg: %v", err)
	}
}

// A node of the key's regions takes the place of a holder, or enough are left there.
func TestAReplacementLeavesAPinnedKeyRoom(t *testing.T) {
	w := newWorldOf(t, 5, 5, 3, func(g *authority.Genesis) {
		spread(g)
		g.Roster[3].Region = "sg" // so that n1, n2 and n3 are all there are
	})
	w.birth(w.rootOrder())
	order := w.sign(w.orderChange(w.japan(func(o *authority.Order) { o.Holders, o.F = []string{"n1", "n2", "n3"}, 0 })), 0, 1)
	w.accept(order)
	w.birth(order.ID())
	replacing := func(leaver, region string) (*world, *authority.Entry) {
		f := w.fork()
		n := f.line("n6")
		n.Region = region
		return f, f.sign(f.membership(authority.KindNodeReplace, authority.Membership{Newcomer: &n, Leaver: leaver}), 0, 1)
	}
	f, e := replacing("n1", "sg")
	if r := f.refuse(e.Encode(), ledger.ErrShares); !strings.Contains(r.Err.Error(), "2 nodes are left in jp-east, jp-west, to which payroll is pinned, and it takes 3") {
		t.Errorf("it says %v", r.Err)
	}
	f, e = replacing("n1", "jp-west")
	f.accept(e)
	f, e = replacing("n5", "sg") // which holds nothing of it
	f.accept(e)
}
