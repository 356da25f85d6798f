package authority_test

import (
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
)

// The count is one-sided: it says done only when fewer than t could still release.
func TestARevokeIsDoneByTheCount(t *testing.T) {
	w := newWorld(t) // 3 of 5
	g, id := w.verified(), api.Digest{7}
	known := Begin(g)
	receipt := func(node int, index uint64) *SignedReceipt {
		t.Helper()
		s, err := SignReceipt(nil, w.nodes[node-1], RevokeReceipt{
			Cluster: g.Cluster, Node: g.Roster[node-1].ID, Revoke: id, Subject: Subject{SubjectCA, "apps"}, Index: index, Roster: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, tt := range []struct {
		sentence string
		f        int
		list     []*SignedReceipt
		done     bool
	}{
		{"nobody", 1, nil, false},
		{"four of five, f = 1", 1, []*SignedReceipt{receipt(1, 9), receipt(2, 9), receipt(3, 0), receipt(4, 0)}, true},
		{"three of five, f = 1", 1, []*SignedReceipt{receipt(1, 9), receipt(2, 9), receipt(3, 9)}, false},
		{"three of five, f = 0", 0, []*SignedReceipt{receipt(1, 9), receipt(2, 0), receipt(3, 0)}, true},
		{"two of five, f = 0", 0, []*SignedReceipt{receipt(1, 9), receipt(2, 9)}, false},
		{"all five, f = 2", 2, []*SignedReceipt{receipt(1, 9), receipt(2, 9), receipt(3, 9), receipt(4, 9), receipt(5, 9)}, true},
		{"four of five, f = 2", 2, []*SignedReceipt{receipt(1, 9), receipt(2, 9), receipt(3, 9), receipt(4, 9)}, false},
		{"handed over, and committed nowhere", 1, []*SignedReceipt{receipt(1, 0), receipt(2, 0), receipt(3, 0), receipt(4, 0)}, false},
		{"committed by the word of one who may lie", 1, []*SignedReceipt{receipt(1, 9), receipt(2, 0), receipt(3, 0), receipt(4, 0)}, false},
		{"committed at two places", 1, []*SignedReceipt{receipt(1, 9), receipt(2, 8), receipt(3, 0), receipt(4, 0)}, false},
	} {
		c, err := CountReceipts(known, id, tt.f, tt.list)
		if err != nil || c.Done() != tt.done || len(c.Nodes) != len(tt.list) {
			t.Errorf("%s: %+v, %v", tt.sentence, c, err)
		}
		back, list, _, err := ParseReceipts(EncodeReceipts(id, tt.list, nil))
		if err != nil || back != id {
			t.Fatal(back, err)
		}
		if c, err := CountReceipts(known, id, tt.f, list); err != nil || c.Done() != tt.done {
			t.Errorf("%s, from a file: %+v, %v", tt.sentence, c, err)
		}
	}
	forged, other := *receipt(2, 9), *receipt(2, 9)
	forged.Signature = receipt(1, 9).Signature
	signed, err := SignReceipt(nil, w.nodes[1], RevokeReceipt{Cluster: g.Cluster, Node: "n2", Revoke: id, Subject: Subject{SubjectCA, "more"}, Roster: 1})
	if err != nil {
		t.Fatal(err)
	}
	other = *signed
	for sentence, try := range map[string]func() error{
		"one node twice": func() error {
			_, err := CountReceipts(known, id, 1, []*SignedReceipt{receipt(1, 9), receipt(1, 9)})
			return err
		},
		"a forged one": func() error {
			_, err := CountReceipts(known, id, 1, []*SignedReceipt{receipt(1, 9), &forged})
			return err
		},
		"two subjects": func() error {
			_, err := CountReceipts(known, id, 1, []*SignedReceipt{receipt(1, 9), &other})
			return err
		},
		"about another": func() error {
			_, err := CountReceipts(known, api.Digest{8}, 1, []*SignedReceipt{receipt(1, 9)})
			return err
		},
		"as many liars as t": func() error { _, err := CountReceipts(known, id, 3, nil); return err },
	} {
		if err := try(); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// Who counts under an earlier roster than the nodes' would leave out newcomers, who may
// hold shares, and count who has left. A file carries the changes that lead to theirs.
func TestReceiptsCountUnderTheRosterTheyWereGivenUnder(t *testing.T) {
	w := newWorld(t) // 3 of 5
	g, id := w.verified(), api.Digest{7}
	n6, sixth := w.line("n6")
	replace := w.sign(w.membership(KindNodeReplace, api.Digest{}, Membership{Newcomer: &n6, Leaver: "n5"}), w.custodians...)
	n7, _ := w.line("n7")
	add := w.sign(w.membership(KindNodeAdd, replace.ID(), Membership{Newcomer: &n7}), w.custodians...)
	other := w.sign(w.membership(KindNodeAdd, api.Digest{}, Membership{Newcomer: &n7}), w.custodians...)
	follow := func(entries ...*Entry) *Succession {
		t.Helper()
		var list [][]byte
		for _, e := range entries {
			list = append(list, e.Encode())
		}
		s, err := Follow(g, list)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second, third, parted := Begin(g), follow(replace), follow(replace, add), follow(other)
	receipt := func(s *Signer, node string, of *Succession) *SignedReceipt {
		t.Helper()
		r, err := SignReceipt(nil, s, RevokeReceipt{
			Cluster: g.Cluster, Node: node, Revoke: id, Subject: Subject{SubjectCA, "apps"}, Index: 9, Roster: of.Roll.Version, Roll: of.Roll.Change,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	four := func(of *Succession) []*SignedReceipt {
		return []*SignedReceipt{receipt(w.nodes[0], "n1", of), receipt(w.nodes[1], "n2", of), receipt(w.nodes[2], "n3", of), receipt(w.nodes[3], "n4", of)}
	}
	for _, tt := range []struct {
		sentence string
		known    *Succession
		list     []*SignedReceipt
		done     bool
		want     error
	}{
		{"four of five under the first roster", first, four(first), true, nil},
		{"a later roster than is known", first, four(second), false, ErrRosterUnknown},
		{"a later one, by one who may lie", second, append(four(second)[:3], receipt(w.nodes[3], "n4", third)), false, ErrRosterUnknown},
		{"six vote, four are too few", second, four(second), false, nil},
		{"a newcomer's counts", second, append(four(second), receipt(sixth, "n6", second)), true, nil},
		{"of an earlier roster they stand, and are too few", second, four(first), false, nil},
		{"of an earlier roster they stand", second, append(four(first), receipt(sixth, "n6", second)), true, nil},
		{"who has left does not count", third, append(four(first), receipt(w.nodes[4], "n5", first)), false, ErrReceipt},
		{"as late, on another chain", parted, four(second), false, ErrRosterUnknown},
	} {
		for _, from := range []string{"at home", "in a file"} {
			known, list := tt.known, tt.list
			if from == "in a file" {
				_, back, chain, err := ParseReceipts(EncodeReceipts(id, tt.list, tt.known.Entries()))
				if err != nil {
					t.Fatal(err)
				}
				list = back
				if known, err = Continue(g, Begin(g), chain); err != nil {
					t.Fatal(err)
				}
			}
			c, err := CountReceipts(known, id, 1, list)
			if !errors.Is(err, tt.want) || err == nil && (c.Done() != tt.done || c.Roster != tt.known.Roll.Version) {
				t.Errorf("%s, %s: counted %+v, %v", tt.sentence, from, c, err)
			}
		}
	}
	for sentence, tt := range map[string]struct {
		known   *Succession
		entries [][]byte
		is      *Succession
	}{
		"a chain that goes on":     {second, third.Entries(), third},
		"a chain that stops short": {third, second.Entries(), third},
		"a chain that parts":       {second, parted.Entries(), nil},
		"what is no chain":         {first, [][]byte{{1}}, nil},
	} {
		got, err := Continue(g, tt.known, tt.entries)
		if (err == nil) != (tt.is != nil) || err == nil && got.Roll.Change != tt.is.Roll.Change {
			t.Errorf("%s: %v, %v", sentence, got, err)
		}
	}
}

func FuzzParseReceipts(f *testing.F) {
	f.Add(EncodeReceipts(api.Digest{7}, nil, [][]byte{{1}}))
	known := Begin(newWorld(f).verified())
	f.Fuzz(func(t *testing.T, b []byte) {
		id, list, chain, err := ParseReceipts(b)
		if err != nil {
			if !errors.Is(err, ErrReceipt) {
				t.Fatal(err)
			}
			return
		}
		if again, _, _, err := ParseReceipts(EncodeReceipts(id, list, chain)); err != nil || again != id {
			t.Fatal("it does not come back", err)
		}
		if c, err := CountReceipts(known, id, 0, list); err == nil && c.Done() {
			t.Fatal("done by receipts that nobody signed")
		}
	})
}
