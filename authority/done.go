package authority

import (
	"bytes"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// RevokeCount is what receipts of one revoke come to.
type RevokeCount struct {
	Revoke  api.Digest
	Subject Subject
	Nodes   []string // whose receipts count, sorted
	Need    int      // so many must
	Index   uint64   // where f+1 of them have it committed; 0: not enough say so
	F       int      // as many may lie
	Roster  uint64   // version of the roster under which they are counted
}

// Done says that no request that begins after the receipts were given is released:
// the revoke is committed, and of every key that there can be, fewer than t holders
// are left that might release.
func (c *RevokeCount) Done() bool { return c.Index != 0 && len(c.Nodes) >= c.Need }

// CountReceipts verifies receipts of one revoke or seal against the known roster and counts
// them, when f nodes may be lying. It asks for n-t+1+f of the roster's n nodes, t
// being the cluster's: then at most t-1-f nodes gave none, and with f liars among
// the others at most t-1 may release. No key has a smaller threshold, and none has
// holders beside the roster, so that this is enough for every live epoch of every
// key, whoever holds it; it may be more than one key alone would need. Who comes to the
// roster later has the revoke in its log before it has a share: one of the f+1 is honest,
// and had the revoke committed under a roster that is no later than the known one. A receipt
// that does not verify spoils the whole. Failures wrap [ErrReceipt], of a later roster
// [ErrRosterUnknown].
func CountReceipts(known *Succession, id api.Digest, f int, list []*SignedReceipt) (*RevokeCount, error) {
	g := known.Genesis
	n, t := len(g.Roster), int(g.Root.T)
	if f < 0 || f >= t {
		return nil, fmt.Errorf("%w: f = %d, from 0 to t-1 = %d is possible", ErrReceipt, f, t-1)
	}
	if len(list) > n {
		return nil, fmt.Errorf("%w: %d receipts of %d nodes", ErrReceipt, len(list), n)
	}
	c := &RevokeCount{Revoke: id, Need: n - t + 1 + f, F: f, Roster: known.Roll.Version}
	committed := map[uint64]int{}
	for i, s := range list {
		if err := s.Verify(known, id); err != nil {
			return nil, err
		}
		r := &s.Receipt
		switch {
		case i == 0:
			c.Subject = r.Subject
		case r.Subject != c.Subject:
			return nil, fmt.Errorf("%w: %s says that it denies %s, another %s", ErrReceipt, r.Node, r.Subject, c.Subject)
		case slices.Contains(c.Nodes, r.Node):
			return nil, fmt.Errorf("%w: %s has two", ErrReceipt, r.Node)
		}
		c.Nodes = append(c.Nodes, r.Node)
		if committed[r.Index]++; r.Index != 0 && committed[r.Index] > f {
			c.Index = r.Index
		}
	}
	slices.Sort(c.Nodes)
	return c, nil
}

// receiptFile is how receipts travel, with the changes of custodians and roster that lead
// to the roster under which they count: anybody with the genesis document can count them.
type receiptFile struct {
	Revoke   api.Digest      `cbor:"1,keyasint"`
	Receipts []SignedReceipt `cbor:"2,keyasint,omitempty"`
	Chain    [][]byte        `cbor:"3,keyasint,omitempty"`
}

// EncodeReceipts makes a file of the receipts of one revoke, and of the entries of the
// [Succession] under which they were verified.
func EncodeReceipts(id api.Digest, list []*SignedReceipt, chain [][]byte) []byte {
	f := receiptFile{Revoke: id, Chain: chain}
	for _, s := range list {
		f.Receipts = append(f.Receipts, *s)
	}
	slices.SortFunc(f.Receipts, func(a, b SignedReceipt) int { return bytes.Compare([]byte(a.Receipt.Node), []byte(b.Receipt.Node)) })
	return wire.Encode(f)
}

// ParseReceipts reads such a file; it believes nothing, and the chain is for [Continue].
// Failures wrap [ErrReceipt].
func ParseReceipts(b []byte) (id api.Digest, list []*SignedReceipt, chain [][]byte, err error) {
	var f receiptFile
	if err := wire.Decode(b, &f); err != nil {
		return api.Digest{}, nil, nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	for i := range f.Receipts {
		list = append(list, &f.Receipts[i])
	}
	return f.Revoke, list, f.Chain, nil
}
