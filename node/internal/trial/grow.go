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

// Grow puts n more keys into the state, as if their ceremonies had been and all their
// holders had signed: copies of a key that was born, with orders, names and ids of
// their own, and the same shares. To bear 10,000 keys takes hours. The log does not
// lead to the state any more.
func (c *Cluster) Grow(n int, like *ledger.Key) []api.KeyID {
	c.TB.Helper()
	var encoded bytes.Buffer
	c.must(c.State().Encode(&encoded))
	format, pieces := cut(encoded.Bytes())
	var top head
	c.must(wire.Decode(pieces[0], &top))
	var items []item
	for _, p := range pieces[1:] {
		var it item
		c.must(wire.Decode(p, &it))
		items = append(items, it)
	}
	put := func(path string, v any) { items = append(items, item{path, wire.Encode(v)}) }
	var ids []api.KeyID
	for i := range n {
		name := fmt.Sprintf("key-%06d", i)
		raw := c.Order(name)
		e, err := authority.ParseEntry(raw)
		c.must(err)
		change, err := authority.ParseChange(e)
		c.must(err)
		order, err := authority.ParseOrder(change)
		c.must(err)
		k := *like
		k.ID, k.Name, k.Order = api.KeyID(e.ID()), name, e.ID()
		k.Record.Key, k.Record.Order = k.ID, raw
		k.Signed, k.Signatures = nil, nil
		for _, h := range k.Holders {
			sig, err := authority.SignRecord(rand.Reader, c.Node(h), &k.Record)
			c.must(err)
			k.Signed, k.Signatures = append(k.Signed, h), append(k.Signatures, sig)
		}
		put("key/"+k.ID.String()+"/0000000001", &k)
		put("order/"+e.ID().String(), &ledger.Ordered{Hash: e.ID(), Order: *order, Entry: raw, Attempt: 1, Key: k.ID})
		put("name/"+name, struct {
			Order api.Digest `cbor:"1,keyasint"`
		}{e.ID()})
		put("change/"+e.ID().String(), &ledger.Taken{Kind: e.Kind, Index: 1, NotAfter: change.NotAfter})
		ids = append(ids, k.ID)
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.Path, b.Path) })
	grown, err := ledger.Decode(c.Genesis, bytes.NewReader(join(format, top, items)))
	if root := (*ledger.RootError)(nil); errors.As(err, &root) {
		top.Root = root.Is
		grown, err = ledger.Decode(c.Genesis, bytes.NewReader(join(format, top, items)))
	}
	c.must(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = grown
	return ids
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
