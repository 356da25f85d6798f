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
	receipt := func(node int, index uint64) *SignedReceipt {
		t.Helper()
		s, err := SignReceipt(nil, w.nodes[node-1], RevokeReceipt{
			Cluster: g.Cluster, Node: g.Roster[node-1].ID, Revoke: id, Subject: Subject{SubjectCA, "apps"}, Index: index,
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
		c, err := CountReceipts(&g.Genesis, id, tt.f, tt.list)
		if err != nil || c.Done() != tt.done || len(c.Nodes) != len(tt.list) {
			t.Errorf("%s: %+v, %v", tt.sentence, c, err)
		}
		back, list, err := ParseReceipts(EncodeReceipts(id, tt.list))
		if err != nil || back != id {
			t.Fatal(back, err)
		}
		if c, err := CountReceipts(&g.Genesis, id, tt.f, list); err != nil || c.Done() != tt.done {
			t.Errorf("%s, from a file: %+v, %v", tt.sentence, c, err)
		}
	}
	forged, other := *receipt(2, 9), *receipt(2, 9)
	forged.Signature = receipt(1, 9).Signature
	signed, err := SignReceipt(nil, w.nodes[1], RevokeReceipt{Cluster: g.Cluster, Node: "n2", Revoke: id, Subject: Subject{SubjectCA, "more"}})
	if err != nil {
		t.Fatal(err)
	}
	other = *signed
	for sentence, try := range map[string]func() error{
		"one node twice": func() error {
			_, err := CountReceipts(&g.Genesis, id, 1, []*SignedReceipt{receipt(1, 9), receipt(1, 9)})
			return err
		},
		"a forged one": func() error {
			_, err := CountReceipts(&g.Genesis, id, 1, []*SignedReceipt{receipt(1, 9), &forged})
			return err
		},
		"two subjects": func() error {
			_, err := CountReceipts(&g.Genesis, id, 1, []*SignedReceipt{receipt(1, 9), &other})
			return err
		},
		"about another": func() error {
			_, err := CountReceipts(&g.Genesis, api.Digest{8}, 1, []*SignedReceipt{receipt(1, 9)})
			return err
		},
		"as many liars as t": func() error { _, err := CountReceipts(&g.Genesis, id, 3, nil); return err },
	} {
		if err := try(); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func FuzzParseReceipts(f *testing.F) {
	f.Add(EncodeReceipts(api.Digest{7}, nil))
	g := newWorld(f).verified()
	f.Fuzz(func(t *testing.T, b []byte) {
		id, list, err := ParseReceipts(b)
		if err != nil {
			if !errors.Is(err, ErrReceipt) {
				t.Fatal(err)
			}
			return
		}
		if again, _, err := ParseReceipts(EncodeReceipts(id, list)); err != nil || again != id {
			t.Fatal("it does not come back", err)
		}
		if c, err := CountReceipts(&g.Genesis, id, 0, list); err == nil && c.Done() {
			t.Fatal("done by receipts that nobody signed")
		}
	})
}
