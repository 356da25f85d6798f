package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
)

// What stays of epochs that are over. A key is gone when it is gone in every epoch that
// ever lived, so that none is ever forgotten; and yet a key that is refreshed each week
// for ever leaves no more than one that was refreshed twice:
//
//	erased/KEY/VERSION/FIRST   shapes  1: n1 n2 n3 n4 n5, 3 of them open
//	                                   2: the same, n4 struck
//	                           runs    1..51 shape 1 | 52 shape 2 | 53..104 shape 1
//	                           by      n1 through 104 | n2 through 104 | n4 through 51 | ...
//
// Epochs of one shape that follow each other are one run. An erasure receipt is of the
// epoch that it names and of every one before, so that of each holder the newest says all
// that the others said, and takes their place; whoever was struck, or has left, keeps the
// last. How many have erased an epoch is counted for each as ever: a receipt counts where
// its node held a share, and for no epoch after the one it names.

// Bounds of one [Past]: together less than 64 KiB. What does not fit begins another one.
const (
	// maxShapes is how often holders, threshold, or who was struck may be of another kind.
	maxShapes = 12
	// maxRuns is how often one may follow another.
	maxRuns = 128
)

// Past is the epochs of a key version that are over, and who has signed that their shares
// are erased.
type Past struct {
	Key     api.KeyID  `cbor:"1,keyasint"`
	Version uint32     `cbor:"2,keyasint"`
	First   uint64     `cbor:"3,keyasint"`           // the first epoch of the first run
	Shapes  []Shape    `cbor:"4,keyasint"`           // none twice, at most 12
	Runs    []Run      `cbor:"5,keyasint"`           // oldest first, at most 128
	By      []ErasedBy `cbor:"6,keyasint,omitempty"` // one for each node, in the order in which they first came
	Retired int64      `cbor:"7,keyasint"`           // ledger time when the newest epoch was over, Unix milliseconds
}

// Shape is what epochs may have in common.
type Shape struct {
	T       uint32   `cbor:"1,keyasint"`
	Holders []string `cbor:"2,keyasint"`           // by index
	Struck  []string `cbor:"3,keyasint,omitempty"` // who never confirmed a share
}

// Run is epochs of one shape that follow each other. It begins where the one before ends.
type Run struct {
	Last  uint64 `cbor:"1,keyasint"`
	Shape uint32 `cbor:"2,keyasint"` // counted from 0
}

// ErasedBy is what one node has signed: that it holds no share of the epoch Through, nor
// of any before.
type ErasedBy struct {
	Node    string     `cbor:"1,keyasint"`
	Receipt api.Digest `cbor:"2,keyasint"` // id of the entry: see [State.ErasureReceipt]
	Through uint64     `cbor:"3,keyasint"`
}

// Erased is epochs of a key version that are over, follow each other and have all in
// common: one, or many. It stands in no state: [State.ErasedEpochs] works it out.
type Erased struct {
	Key         api.KeyID
	Version     uint32
	First, Last uint64
	Shape
	Retired int64      // ledger time when the newest epoch of the version was over, Unix milliseconds
	By      []ErasedBy // who held a share of them, and has signed
}

// Receipt is an erasure receipt as its node signed it. It may be of many keys.
type Receipt struct {
	Entry []byte `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"`
	Uses  uint32 `cbor:"3,keyasint"` // how often it stands in a [Past]; with the last use it goes
}

func (v *Past) digest() api.Digest    { return digestOf(v) }
func (v *Receipt) digest() api.Digest { return digestOf(v) }

// Need is how many receipts say that an epoch is gone: with so many erased, fewer than
// t shares are left. Those who were struck count as holders who have not erased. Of a
// symmetric key so many are all the members of some one set, whose key nobody has then.
func (e *Erased) Need() int { return len(e.Holders) - int(e.T) + 1 }

// Gone says whether enough holders have signed that they have erased their shares.
func (e *Erased) Gone() bool { return len(e.By) >= e.Need() }

// Awaits says whether a node held a share, and has not signed that it is erased.
func (e *Erased) Awaits(node string) bool {
	return e.held(node) && !slices.ContainsFunc(e.By, func(b ErasedBy) bool { return b.Node == node })
}

// Awaiting lists the holders that have not signed that their shares are erased.
func (e *Erased) Awaiting() []string {
	return slices.DeleteFunc(slices.Clone(e.Holders), func(h string) bool { return !e.Awaits(h) })
}

// held says whether a node had a share.
func (s *Shape) held(node string) bool {
	return slices.Contains(s.Holders, node) && !slices.Contains(s.Struck, node)
}

func (s *Shape) is(o *Shape) bool {
	return s.T == o.T && slices.Equal(s.Holders, o.Holders) && slices.Equal(s.Struck, o.Struck)
}

func (v *Past) last() uint64 { return v.Runs[len(v.Runs)-1].Last }

// shapeOf is the shape of an epoch, or nil.
func (v *Past) shapeOf(epoch uint64) *Shape {
	if epoch < v.First || epoch > v.last() {
		return nil
	}
	i, _ := slices.BinarySearchFunc(v.Runs, epoch, func(r Run, e uint64) int { return cmp.Compare(r.Last, e) })
	return &v.Shapes[v.Runs[i].Shape]
}

// held is the newest epoch up to one of which a node had a share, or 0.
func (v *Past) held(node string, through uint64) uint64 {
	for i, r := range slices.Backward(v.Runs) {
		first := v.First
		if i > 0 {
			first = v.Runs[i-1].Last + 1
		}
		if first <= through && v.Shapes[r.Shape].held(node) {
			return min(r.Last, through)
		}
	}
	return 0
}

// by is where a node stands among those who have signed, or -1.
func (v *Past) by(node string) int {
	return slices.IndexFunc(v.By, func(b ErasedBy) bool { return b.Node == node })
}

// owes is the newest epoch up to one of which a node had a share and has not signed that
// it is erased, or 0.
func (v *Past) owes(node string, through uint64) uint64 {
	newest := v.held(node, through)
	if i := v.by(node); i >= 0 && v.By[i].Through >= newest {
		return 0
	}
	return newest
}

// waitsFor: epochs that are over wait for their holders' receipts.
func (v *Past) waitsFor() []string {
	var out []string
	for _, s := range v.Shapes {
		for _, h := range s.Holders {
			if !slices.Contains(out, h) && v.owes(h, v.last()) > 0 {
				out = append(out, h)
			}
		}
	}
	return out
}

// with is v with one epoch more, or false where it does not fit.
func (v *Past) with(shape Shape, now int64) (*Past, bool) {
	next := *v
	next.Retired = now
	epoch := v.last() + 1
	at := slices.IndexFunc(v.Shapes, func(s Shape) bool { return s.is(&shape) })
	next.Runs = slices.Clone(v.Runs)
	switch newest := &next.Runs[len(next.Runs)-1]; {
	case at >= 0 && newest.Shape == uint32(at):
		newest.Last = epoch
		return &next, true
	case len(v.Runs) == maxRuns, at < 0 && len(v.Shapes) == maxShapes:
		return nil, false
	case at < 0:
		at = len(v.Shapes)
		next.Shapes = append(slices.Clone(v.Shapes), shape)
	}
	next.Runs = append(next.Runs, Run{Last: epoch, Shape: uint32(at)})
	return &next, true
}

// pieces lists what is over, oldest first, in as few pieces as have all in common.
func (v *Past) pieces() []*Erased {
	var out []*Erased
	first := v.First
	for _, r := range v.Runs {
		shape := v.Shapes[r.Shape]
		ends := []uint64{r.Last}
		for _, b := range v.By {
			if shape.held(b.Node) && b.Through >= first && b.Through < r.Last {
				ends = append(ends, b.Through)
			}
		}
		slices.Sort(ends)
		for _, last := range slices.Compact(ends) {
			e := &Erased{Key: v.Key, Version: v.Version, First: first, Last: last, Shape: shape, Retired: v.Retired}
			for _, b := range v.By {
				if shape.held(b.Node) && b.Through >= last {
					e.By = append(e.By, b)
				}
			}
			out, first = append(out, e), last+1
		}
	}
	return out
}

// errPast is why a [Past] is none.
var errPast = errors.New("not the epochs of a key that are over")

// check holds a value that comes from elsewhere against what this program would write.
func (v *Past) check() error {
	if v.First == 0 || len(v.Shapes) == 0 || len(v.Shapes) > maxShapes || len(v.Runs) == 0 || len(v.Runs) > maxRuns {
		return fmt.Errorf("%w: from epoch %d on, %d shapes, %d runs", errPast, v.First, len(v.Shapes), len(v.Runs))
	}
	for _, s := range v.Shapes {
		if s.T == 0 || int(s.T) > len(s.Holders) || len(s.Holders) > sharing.MaxHolders {
			return fmt.Errorf("%w: %d of %d", errPast, s.T, len(s.Holders))
		}
	}
	before := v.First - 1
	for _, r := range v.Runs {
		if r.Last <= before || int64(r.Shape) >= int64(len(v.Shapes)) {
			return fmt.Errorf("%w: a run to epoch %d of shape %d after epoch %d", errPast, r.Last, r.Shape, before)
		}
		before = r.Last
	}
	for i, b := range v.By {
		if v.by(b.Node) != i || v.held(b.Node, b.Through) == 0 {
			return fmt.Errorf("%w: a receipt of %.64q counts for nothing", errPast, b.Node)
		}
	}
	return nil
}

func decodePast(_ *authority.VerifiedGenesis, b []byte) (value, error) {
	var v Past
	if err := wire.Decode(b, &v); err != nil {
		return nil, err
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	return &v, nil
}

func pastsPath(id api.KeyID, version uint32) string {
	return fmt.Sprintf("%s%s/%010d/", pathErased, id, version)
}

func pastPath(id api.KeyID, version uint32, first uint64) string {
	return fmt.Sprintf("%s%020d", pastsPath(id, version), first)
}

// pasts are the epochs of a key version that are over, oldest first.
func (s *State) pasts(id api.KeyID, version uint32) []*Past {
	return list[*Past](s, pastsPath(id, version))
}

// ErasedEpochs lists the epochs of a key version that are over, oldest first: those that
// follow each other and have all in common together.
func (s *State) ErasedEpochs(id api.KeyID, version uint32) []*Erased {
	var out []*Erased
	for _, p := range s.pasts(id, version) {
		out = append(out, p.pieces()...)
	}
	return out
}

// Erased returns what is known of an epoch that is over, or nil.
func (s *State) Erased(of authority.LiveEpoch) *Erased {
	for _, e := range s.ErasedEpochs(of.Key, of.Version) {
		if e.First <= of.Epoch && of.Epoch <= e.Last {
			return e
		}
	}
	return nil
}

// Unerased lists, sorted, the key versions with epochs that are over and whose shares a
// node has not signed to have erased, at most so many: of each the newest such epoch, a
// receipt for which is of all before as well.
func (s *State) Unerased(node string, most int) []authority.LiveEpoch {
	var out []authority.LiveEpoch
	for _, p := range owed[*Past](s, node, pathErased) {
		e := authority.LiveEpoch{Key: p.Key, Version: p.Version, Epoch: p.owes(node, p.last())}
		if n := len(out); n > 0 && out[n-1].Key == e.Key && out[n-1].Version == e.Version {
			out[n-1] = e
		} else if n < most {
			out = append(out, e)
		}
	}
	return out
}

// Owes is the newest epoch of a key version, up to one, that is over and whose shares a
// node has not signed to have erased, or 0.
func (s *State) Owes(node string, through authority.LiveEpoch) (newest uint64) {
	for _, p := range s.pasts(through.Key, through.Version) {
		newest = max(newest, p.owes(node, through.Epoch))
	}
	return newest
}

// NotGone lists the epochs that are over and not gone, and wait for the receipt of a node
// among others.
func (s *State) NotGone(node string) []*Erased {
	var out []*Erased
	for _, p := range owed[*Past](s, node, pathErased) {
		out = append(out, slices.DeleteFunc(p.pieces(), func(e *Erased) bool { return e.Gone() || !e.Awaits(node) })...)
	}
	return out
}

// ErasureReceipt returns a receipt by its id, or nil.
func (s *State) ErasureReceipt(id api.Digest) *Receipt {
	return get[*Receipt](s, pathReceipt+id.String())
}

// endEpoch puts an epoch among those that are over.
func (s *State) endEpoch(d *draft, k *Key, e *Epoch) {
	var before *Past
	d.txn.Root().WalkPrefix([]byte(pastsPath(k.ID, k.Version)), func(_ []byte, v value) bool {
		before = v.(*Past)
		return false
	})
	shape := Shape{T: e.T, Holders: e.Holders, Struck: e.Struck}
	if before != nil && before.last()+1 == e.Number {
		if next, fits := before.with(shape, s.Time()); fits {
			d.put(pastPath(k.ID, k.Version, next.First), next)
			return
		}
	}
	d.put(pastPath(k.ID, k.Version, e.Number), &Past{
		Key: k.ID, Version: k.Version, First: e.Number, Shapes: []Shape{shape}, Runs: []Run{{Last: e.Number}}, Retired: s.Time(),
	})
}

// takeErased keeps a node's receipt for the shares that it has erased, in the place of
// those that say no more.
func (s *State) takeErased(d *draft, index uint64, node string, b *authority.ErasureReceipt, id api.Digest, raw []byte) error {
	if err := b.Check(); err != nil {
		return err
	}
	receipt := &Receipt{Entry: slices.Clone(raw), Index: index}
	var replaced []api.Digest // receipts whose uses end, each as often
	for _, e := range b.Through {
		pasts := s.pasts(e.Key, e.Version)
		i := slices.IndexFunc(pasts, func(p *Past) bool { return p.shapeOf(e.Epoch) != nil })
		switch {
		case i < 0:
			return fmt.Errorf("epoch %d of the key %s: %w", e.Epoch, e.Key, ErrNoKey)
		case !pasts[i].shapeOf(e.Epoch).held(node):
			return ErrNotHolder
		case pasts[i].owes(node, e.Epoch) == 0:
			return fmt.Errorf("%w: %s has erased epoch %d of the key %s before", ErrOutOfTurn, node, e.Epoch, e.Key)
		}
		for _, p := range pasts[:i+1] {
			if p.owes(node, e.Epoch) == 0 {
				continue
			}
			next := *p
			next.By = slices.Clone(p.By)
			signed := ErasedBy{Node: node, Receipt: id, Through: e.Epoch}
			if at := p.by(node); at >= 0 {
				replaced = append(replaced, p.By[at].Receipt)
				next.By[at] = signed
			} else {
				next.By = append(next.By, signed)
			}
			receipt.Uses++
			d.put(pastPath(p.Key, p.Version, p.First), &next)
		}
	}
	d.put(pathReceipt+id.String(), receipt)
	s.endUses(d, replaced)
	return nil
}

// endUses takes receipts out that stand in no [Past] any more.
func (s *State) endUses(d *draft, ended []api.Digest) {
	slices.SortFunc(ended, func(a, b api.Digest) int { return bytes.Compare(a[:], b[:]) })
	for len(ended) > 0 {
		id, uses := ended[0], uint32(0)
		for uses < uint32(len(ended)) && ended[uses] == id {
			uses++
		}
		ended = ended[uses:]
		if r := s.ErasureReceipt(id); r.Uses > uses {
			left := *r
			left.Uses -= uses
			d.put(pathReceipt+id.String(), &left)
		} else {
			d.remove(pathReceipt + id.String())
		}
	}
}
