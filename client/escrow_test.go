package client

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/escrow"
	"warifu.dev/sharing/group"
)

// door is a key whose shares its holders have sealed to custodians, and one envelope.
type door struct {
	testing.TB
	cluster  *dealt.Cluster
	key      *dealt.Key
	file     escrowFile
	order    api.Digest
	envelope []byte
}

func newDoor(tb testing.TB) *door {
	tb.Helper()
	c := dealt.New(tb, 3, "a:1", "b:1", "c:1", "d:1", "e:1")
	d := &door{TB: tb, cluster: c, key: c.Deal("photos", 3, "n1", "n2", "n3", "n4", "n5")}
	body := wire.Encode(authority.Escrow{Record: c.Sign(d.key.Record, "n1", "n2", "n3"), Open: 2})
	e := authority.NewChange(authority.Change{Cluster: c.Genesis.Cluster, Kind: authority.KindEscrow, Body: body, NotAfter: 1 << 50})
	for _, s := range c.Custodians[:2] {
		d.must(authority.SignChange(rand.Reader, e, s))
	}
	d.order = e.ID()
	d.file = escrowFile{Genesis: c.Genesis.Signed().Encode(), Order: e.Encode()}
	for i, n := range d.key.Order.Holders {
		d.file.Sealed = append(d.file.Sealed, d.seals(n, uint32(i+1), d.key.Shares[n]))
	}
	var err error
	k, err := ParseKey(c.Genesis, c.Sign(d.key.Record, "n1", "n2", "n3"))
	d.must(err)
	d.envelope, err = k.Wrap(rand.Reader, api.Context{"album": "2026"}, secret.New([]byte("a data key")))
	d.must(err)
	return d
}

func (d *door) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// seals is what a node signs when it seals something as its share.
func (d *door) seals(node string, index uint32, share *group.Scalar) []byte {
	d.Helper()
	var recipients []string
	for _, c := range d.cluster.Genesis.Custodians {
		recipients = append(recipients, c.Open)
	}
	r := d.key.Record
	of := escrow.Share{Cluster: r.Cluster, Order: d.order, Key: r.Key, Version: 1, Epoch: 1, Index: index}
	sealed, err := escrow.Seal(rand.Reader, of, secret.New(share.Bytes()), recipients, 2)
	d.must(err)
	e, err := authority.SignStatement(rand.Reader, d.cluster.Node(node), r.Cluster, node, authority.KindEscrowed,
		authority.Escrowed{Key: r.Key, Order: d.order, Index: index, Sealed: wire.Encode(sealed)})
	d.must(err)
	return e.Encode()
}

func (d *door) parsed() *Escrow {
	d.Helper()
	e, err := ParseEscrow(wire.Encode(d.file), d.cluster.Genesis.Hash())
	d.must(err)
	return e
}

// opens has the first custodian hand its pieces to the third, who opens.
func (d *door) opens() (*Opened, error) {
	d.Helper()
	e := d.parsed()
	handed, err := e.HandOver(0, d.cluster.Opens[0], 2)
	if err != nil {
		return nil, err
	}
	return e.Open(2, d.cluster.Opens[2], handed)
}

// Two of three custodians, with the file and no node, open what is under the key: each
// envelope with its context alone.
func TestCustodiansOpenAnEscrowWithoutANode(t *testing.T) {
	d := newDoor(t)
	o, err := d.opens()
	d.must(err)
	if len(o.Liars) != 0 {
		t.Errorf("blamed: %q", o.Liars)
	}
	dek, err := o.Unwrap(t.Context(), d.envelope, api.Context{"album": "2026"}, "")
	if err != nil || string(dek.Reveal()) != "a data key" {
		t.Fatalf("it opens as %q: %v", dek.Reveal(), err)
	}
	if _, err := o.Unwrap(t.Context(), d.envelope, nil, ""); !errors.Is(err, ErrEnvelope) {
		t.Errorf("with another context: %v", err)
	}
	o.Wipe()
	if _, err := o.Unwrap(t.Context(), d.envelope, api.Context{"album": "2026"}, ""); err == nil {
		t.Error("it opens when the shares are wiped")
	}
	e := d.parsed()
	if _, err := e.Open(2, d.cluster.Opens[2]); !errors.Is(err, ErrEscrowShort) {
		t.Errorf("one custodian alone: %v", err)
	}
	mine, err := e.HandOver(2, d.cluster.Opens[2], 0)
	d.must(err)
	if _, err := e.Open(2, d.cluster.Opens[2], mine); !errors.Is(err, ErrHanded) {
		t.Errorf("with what is for another: %v", err)
	}
	if _, err := e.HandOver(0, d.cluster.Opens[1], 2); !errors.Is(err, ErrEscrowShort) {
		t.Errorf("with another's key: %v", err)
	}
	if _, err := e.PlaceOf(func(authority.Custodian) bool { return false }); !errors.Is(err, ErrNotKeeper) {
		t.Errorf("nobody: %v", err)
	}
}

// R14: who has sealed something else than its share is named, and spoils nothing while
// enough others have sealed theirs.
func TestALiarInAnEscrowIsNamed(t *testing.T) {
	d := newDoor(t)
	d.file.Sealed[0] = d.seals("n1", 1, d.key.Shares["n2"]) // another's
	d.file.Sealed[1] = d.seals("n1", 2, d.key.Shares["n2"]) // in another's name
	e := d.parsed()
	by, spoilt := e.Sealed()
	if !slices.Equal(by, []string{"n1", "n3", "n4", "n5"}) || len(spoilt) != 1 || !strings.HasPrefix(spoilt[0], "n2: ") {
		t.Errorf("sealed by %q, spoilt %q", by, spoilt)
	}
	o, err := d.opens()
	d.must(err)
	if len(o.Liars) != 1 || o.Liars[0] != "n1: what it sealed is not its share" {
		t.Errorf("named: %q", o.Liars)
	}
	if _, err := o.Unwrap(t.Context(), d.envelope, api.Context{"album": "2026"}, ""); err != nil {
		t.Errorf("with three good shares: %v", err)
	}
	d.file.Sealed[2] = d.seals("n3", 3, d.key.Shares["n4"])
	if _, err := d.opens(); !errors.Is(err, ErrEscrowShort) || !strings.Contains(err.Error(), "the share of n3: what it sealed is not its share") {
		t.Errorf("with two good shares: %v", err)
	}
	d.file.Sealed = [][]byte{nil, nil, nil, d.file.Sealed[3], d.file.Sealed[4]}
	if _, err := d.opens(); !errors.Is(err, ErrEscrowShort) {
		t.Errorf("with two shares: %v", err)
	}
}

// A file is believed from the hash of the genesis document on.
func TestEscrowsThatAreNotBelieved(t *testing.T) {
	d := newDoor(t)
	good := wire.Encode(d.file)
	for sentence, alter := range map[string]func(f *escrowFile){
		"no genesis document": func(f *escrowFile) { f.Genesis = nil },
		"another cluster's":   func(f *escrowFile) { f.Genesis = newDoor(t).file.Genesis },
		"an order by one custodian": func(f *escrowFile) {
			e, err := authority.ParseEntry(f.Order)
			d.must(err)
			e.Signatures = e.Signatures[:1]
			f.Order = e.Encode()
		},
		"another order":      func(f *escrowFile) { f.Order = newDoor(t).file.Order },
		"a share too few":    func(f *escrowFile) { f.Sealed = f.Sealed[:4] },
		"more than there is": func(f *escrowFile) { f.Sealed = append(slices.Clone(f.Sealed), nil) },
	} {
		f := d.file
		alter(&f)
		if _, err := ParseEscrow(wire.Encode(f), d.cluster.Genesis.Hash()); !errors.Is(err, ErrEscrow) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := ParseEscrow(good, api.Digest{1}); !errors.Is(err, ErrEscrow) {
		t.Errorf("under another hash: %v", err)
	}
	if _, err := ParseEscrow(make([]byte, MaxEscrow+1), d.cluster.Genesis.Hash()); !errors.Is(err, ErrEscrow) {
		t.Errorf("too large: %v", err)
	}
	if e := d.parsed(); !bytes.Equal(e.Encode(), good) || e.Order().Open != 2 || len(e.Order().By) != 2 {
		t.Errorf("%+v", e.Order())
	}
}

// FuzzParseEscrow reaches ParseEscrow, and Escrow.Open with what a custodian was handed.
func FuzzParseEscrow(f *testing.F) {
	d := newDoor(f)
	e := d.parsed()
	handed, err := e.HandOver(0, d.cluster.Opens[0], 2)
	d.must(err)
	f.Add(wire.Encode(d.file), handed)
	f.Add([]byte{0xa0}, []byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, file, handed []byte) {
		if got, err := ParseEscrow(file, d.cluster.Genesis.Hash()); err == nil && !bytes.Equal(got.Encode(), file) || err != nil && !errors.Is(err, ErrEscrow) {
			t.Fatalf("neither believed nor refused: %v", err)
		}
		if o, err := e.Open(2, d.cluster.Opens[2], handed); (o == nil) == (err == nil) {
			t.Fatalf("neither opened nor refused: %v", err)
		}
	})
}
