package trial

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// item and head are what an encoded state is made of; see package ledger.
type item struct {
	Path  string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

type head struct {
	Index    uint64     `cbor:"1,keyasint"`
	Previous api.Digest `cbor:"2,keyasint"`
	Entry    api.Digest `cbor:"3,keyasint"`
	Root     api.Digest `cbor:"4,keyasint"`
}

// Grow puts n more keys into the state, see [Grown]. The log does not lead to it any
// more.
func (c *Cluster) Grow(n int, like *ledger.Key) []api.KeyID {
	c.TB.Helper()
	grown, ids, err := Grown(c.State(), n, like, c.Order, func(h string, r *authority.KeyRecord) (authority.Signature, error) {
		return authority.SignRecord(rand.Reader, c.Node(h), r)
	})
	c.must(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = grown
	return ids
}

// Grown is a state with n more keys, as if their ceremonies had been and all their
// holders had signed: copies of a key that was born, with orders, names and ids of
// their own, and the same shares. To bear 10,000 keys takes hours.
func Grown(s *ledger.State, n int, like *ledger.Key, order func(name string) []byte, sign func(holder string, r *authority.KeyRecord) (authority.Signature, error)) (*ledger.State, []api.KeyID, error) {
	var encoded bytes.Buffer
	if err := s.Encode(&encoded); err != nil {
		return nil, nil, err
	}
	format, pieces := cut(encoded.Bytes())
	var top head
	if err := wire.Decode(pieces[0], &top); err != nil {
		return nil, nil, err
	}
	var items []item
	for _, p := range pieces[1:] {
		var it item
		if err := wire.Decode(p, &it); err != nil {
			return nil, nil, err
		}
		items = append(items, it)
	}
	var ids []api.KeyID
	for i := range n {
		id, of, err := grown(like, fmt.Sprintf("key-%06d", i), order, sign)
		if err != nil {
			return nil, nil, err
		}
		ids, items = append(ids, id), append(items, of...)
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.Path, b.Path) })
	state, err := ledger.Decode(s.Genesis(), bytes.NewReader(join(format, top, items)))
	if root := (*ledger.RootError)(nil); errors.As(err, &root) {
		top.Root = root.Is
		state, err = ledger.Decode(s.Genesis(), bytes.NewReader(join(format, top, items)))
	}
	return state, ids, err
}

// grown is what stands in a state of one key.
func grown(like *ledger.Key, name string, order func(string) []byte, sign func(string, *authority.KeyRecord) (authority.Signature, error)) (api.KeyID, []item, error) {
	raw := order(name)
	e, err := authority.ParseEntry(raw)
	if err != nil {
		return api.KeyID{}, nil, err
	}
	change, err := authority.ParseChange(e)
	if err != nil {
		return api.KeyID{}, nil, err
	}
	o, err := authority.ParseOrder(change)
	if err != nil {
		return api.KeyID{}, nil, err
	}
	k := *like
	k.ID, k.Name, k.Order, k.Purpose = api.KeyID(e.ID()), name, e.ID(), authority.PurposeUnwrap
	k.Record.Key, k.Record.Order = k.ID, raw
	k.Signed, k.Signatures = nil, nil
	for _, h := range k.Holders {
		sig, err := sign(h, &k.Record)
		if err != nil {
			return api.KeyID{}, nil, err
		}
		k.Signed, k.Signatures = append(k.Signed, h), append(k.Signatures, sig)
	}
	return k.ID, []item{
		{"key/" + k.ID.String() + "/0000000001", wire.Encode(&k)},
		{"order/" + e.ID().String(), wire.Encode(&ledger.Ordered{Hash: e.ID(), Order: *o, Entry: raw, Attempt: 1, Key: k.ID})},
		{"name/" + name, wire.Encode(struct {
			Order api.Digest `cbor:"1,keyasint"`
		}{e.ID()})},
		{"change/" + e.ID().String(), wire.Encode(&ledger.Taken{Kind: e.Kind, Index: 1, NotAfter: change.NotAfter})},
	}, nil
}

func cut(b []byte) (format byte, pieces [][]byte) {
	format, b = b[0], b[1:]
	for {
		n := binary.BigEndian.Uint32(b)
		if n == 0 {
			return format, pieces
		}
		pieces, b = append(pieces, b[4:4+n]), b[4+n:]
	}
}

func join(format byte, top head, items []item) []byte {
	b := []byte{format}
	put := func(v any) {
		p := wire.Encode(v)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	put(top)
	for _, it := range items {
		put(it)
	}
	return append(b, 0, 0, 0, 0)
}
