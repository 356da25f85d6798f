package warifutest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/plunder"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/warifutest"
)

// thief opens what nodes have on their disks with their tokens. It opens each keyring with
// every root share and every salt that it finds anywhere, also those of other
// generations: the root share that lives today is in what today's token opens.
type thief struct {
	s   *stage
	key *client.Key
	pk  *tdh2.PublicKey
	v   *tdh2.VerifiedEnvelope
}

// thief is one who is after the stage's envelope.
func (s *stage) thief() *thief {
	s.Helper()
	_, key, err := s.Application(warifutest.AppA)
	s.must(err)
	r := key.Record()
	y, err := group.DecodePoint(r.Y)
	s.must(err)
	pk, err := tdh2.NewPublicKey(r.Cluster, r.Key, r.Version, key.Threshold(), len(key.Holders()), y)
	s.must(err)
	e, err := tdh2.Parse(s.envelope)
	s.must(err)
	v, err := pk.Verify(e, api.Context(nil).Canonical())
	s.must(err)
	return &thief{s, key, pk, v}
}

// keep copies what rests on every node's disk, and every token.
func (s *stage) keep(to string) (dirs, tokens at) {
	s.Helper()
	for _, id := range s.IDs() {
		for _, part := range []string{"seal", "soft-hsm"} {
			s.must(os.CopyFS(filepath.Join(to, id, part), os.DirFS(filepath.Join(s.Dir(id), part))))
		}
	}
	return func(id string) string { return filepath.Join(to, id, "seal") }, func(id string) string { return filepath.Join(to, id, "soft-hsm") }
}

// today is where nodes that do not run have it.
func (s *stage) today() (dirs, tokens at) {
	return func(id string) string { return filepath.Join(s.Dir(id), "seal") }, func(id string) string { return filepath.Join(s.Dir(id), "soft-hsm") }
}

// haul is a share of the key that a thief has.
type haul struct {
	node  string
	epoch uint64
	index sharing.Index
	share *group.Scalar
}

func (h haul) String() string { return fmt.Sprintf("%s of epoch %d", h.node, h.epoch) }

// at gives, for each node, where something of it lies.
type at func(id string) string

// all takes what these directories and these tokens give of all nodes.
func (t *thief) all(tokens, dirs []at) (out []haul) {
	t.s.Helper()
	for _, id := range t.s.IDs() {
		out = append(out, t.of(id, tokens, dirs)...)
	}
	return out
}

// of takes what these directories and these tokens give of one node.
func (t *thief) of(id string, tokens, dirs []at) (out []haul) {
	t.s.Helper()
	node := plunder.Node{Cluster: t.s.Genesis().Cluster, ID: id}
	var roots []plunder.Root
	for _, token := range tokens {
		private(t.s, token(id))
		dev, err := soft.Open(soft.Config{Dir: token(id), Log: slog.New(slog.DiscardHandler)})
		t.s.must(err)
		for _, dir := range dirs {
			some, err := node.Roots(dir(id), dev)
			t.s.must(err)
			roots = append(roots, some...)
		}
		t.s.must(dev.Close())
	}
	for _, dir := range dirs {
		shares, err := node.Shares(dir(id), roots)
		t.s.must(err)
		for _, one := range shares {
			if one.Key != t.key.ID() || slices.ContainsFunc(out, func(o haul) bool { return o.epoch == one.Epoch }) {
				continue
			}
			x, err := group.DecodeScalar(one.Scalar)
			t.s.must(err)
			out = append(out, haul{id, one.Epoch, one.Index, x})
		}
	}
	return out
}

// opening returns shares out of these, as many as the threshold, that open the envelope,
// or none. What opens it has such in it, so that trying each choice of that many tries
// every subset. few, where it is not nil, says which choices a thief cannot have.
func (t *thief) opening(from []haul, few func(choice []haul) bool) (opens []haul, tried int) {
	t.s.Helper()
	for _, choice := range choices(from, t.key.Threshold()) {
		if few != nil && few(choice) {
			continue
		}
		if tried++; t.open(choice) {
			return choice, tried
		}
	}
	return nil, tried
}

func choices(from []haul, n int) [][]haul {
	if n == 0 {
		return [][]haul{nil}
	}
	var out [][]haul
	for i := range from {
		for _, rest := range choices(from[i+1:], n-1) {
			out = append(out, append([]haul{from[i]}, rest...))
		}
	}
	return out
}

// open interpolates the key as if these were shares of one epoch, and opens the envelope
// with it in the place of every share.
func (t *thief) open(choice []haul) bool {
	t.s.Helper()
	var indices []sharing.Index
	for _, h := range choice {
		indices = append(indices, h.index)
	}
	lambda, err := sharing.Lagrange(indices)
	if err != nil {
		return false // one index twice
	}
	x := group.SmallScalar(0)
	for i, h := range choice {
		x = x.Add(lambda[i].Mul(h.share))
	}
	partials := map[sharing.Index]*group.Point{}
	for i := range t.key.Threshold() { // a constant polynomial has the same value everywhere
		partials[sharing.Index(i+1)] = t.v.Partial(x)
	}
	dek, err := t.pk.Open(t.v, partials)
	return err == nil && bytes.Equal(dek.Reveal(), make([]byte, 32))
}

// in counts the shares of one epoch.
func in(list []haul, epoch uint64) (n int) {
	for _, h := range list {
		if h.epoch == epoch {
			n++
		}
	}
	return n
}
