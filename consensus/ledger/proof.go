package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// ErrProof is returned, wrapped, for a proof that does not show what it should.
var ErrProof = errors.New("the proof does not lead to its root")

// Bounds of what is proven of a key.
const (
	// MaxProofs is how many proofs show a key together: what epochs leave grows with its
	// versions, and with how often its holders changed.
	MaxProofs = 64
	maxProven = 1 << 14 // values in one proof
)

// Proof shows that values stand at their paths in a state: whoever believes the link of
// its position believes them.
//
// Each value is a leaf of the state's Merkle tree. Beside are the roots of the halves
// that its way from the root leaves aside, the first at the root.
type Proof struct {
	Index    uint64     `cbor:"1,keyasint"`
	Previous api.Digest `cbor:"2,keyasint"`
	Entry    api.Digest `cbor:"3,keyasint"`
	Root     api.Digest `cbor:"4,keyasint"`
	Values   []Proven   `cbor:"5,keyasint"` // by ascending path
}

// Proven is one value of a [Proof].
type Proven struct {
	Path   string       `cbor:"1,keyasint"`
	Value  []byte       `cbor:"2,keyasint"`
	Beside []api.Digest `cbor:"3,keyasint,omitempty"`
}

// ProveDestroyed proves what the ledger has of a key whose destruction has begun: where
// it stands, its versions with their orders, every epoch there ever was, and the receipts
// for them. It proves values behind the path after, as many as size bytes hold and one
// more; next is the path to go on after, or empty. Of another key it proves nothing.
func (s *State) ProveDestroyed(id api.KeyID, after string, size int) (p *Proof, next string) {
	if !s.Life(id).Destroy.Done() {
		return nil, ""
	}
	p = &Proof{Index: s.last.index, Previous: s.last.previous, Entry: s.last.entry, Root: s.Root()}
	for _, path := range s.pathsOf(id) {
		if path <= after {
			continue
		}
		if size <= 0 {
			return p, p.Values[len(p.Values)-1].Path
		}
		v, _ := s.values.Get([]byte(path))
		is := Proven{Path: path, Value: encodeValue(v), Beside: s.tree.beside(tag.Hash(tag.StatePath, []byte(path)), 0)}
		p.Values = append(p.Values, is)
		size -= len(wire.Encode(is))
	}
	return p, ""
}

// pathsOf are the paths of all that is said of a destroyed key, sorted.
func (s *State) pathsOf(id api.KeyID) []string {
	paths := []string{pathLife + id.String()}
	if len(s.Datasets(id)) > 0 {
		paths = append(paths, pathDataset+id.String())
	}
	for _, e := range s.Escrows(id) {
		paths = append(paths, escrowsPath(id)+e.By.Change.String())
	}
	for _, k := range list[*Key](s, pathKey+id.String()+"/") {
		paths = append(paths, keyPath(id, k.Version), pathOrder+k.Order.String())
		for _, p := range s.pasts(id, k.Version) {
			paths = append(paths, pastPath(id, k.Version, p.First))
			for _, by := range p.By {
				paths = append(paths, pathReceipt+by.Receipt.String())
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// beside lists the roots of the halves that the way to a path leaves aside.
func (m *merkle) beside(path api.Digest, depth int) []api.Digest {
	switch {
	case m == nil || m.isLeaf():
		return nil
	case bit(path, depth):
		return append([]api.Digest{m.left.root()}, m.right.beside(path, depth+1)...)
	default:
		return append([]api.Digest{m.right.root()}, m.left.beside(path, depth+1)...)
	}
}

// Encode returns the canonical encoding.
func (p *Proof) Encode() []byte { return wire.Encode(p) }

// ParseProof reads a proof; it believes nothing. Failures wrap [ErrProof].
func ParseProof(b []byte) (*Proof, error) {
	var p Proof
	if err := wire.Decode(b, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return &p, nil
}

// Position is where the chain was, if the proof's step is its.
func (p *Proof) Position() Position {
	s := step{index: p.Index, previous: p.Previous, entry: p.Entry}
	return Position{Index: p.Index, Link: s.link(p.Root)}
}

// Destroyed is what proofs show of a key whose destruction has begun.
type Destroyed struct {
	Life     *Life
	Versions []*Key // from 1
	Orders   []*Ordered
	Epochs   [][]*Erased // by version, from 1, and number: there were no others
	Receipts map[api.Digest]*Receipt
	Datasets []Registered // there were no others
	Escrows  []*Escrow    // by id of their order: there were no others
}

// ReadDestroyed reads proofs of [State.ProveDestroyed], each the sequel of the one
// before. What they say is so when the link of each one's [Proof.Position] is the
// cluster's: of a key that is destroyed nothing changes but that receipts come. Nothing
// is missing, and nothing stands there that does not belong. Failures wrap [ErrProof].
func ReadDestroyed(id api.KeyID, proofs []*Proof) (*Destroyed, error) {
	if len(proofs) > MaxProofs {
		return nil, fmt.Errorf("%w: %d proofs, at most %d", ErrProof, len(proofs), MaxProofs)
	}
	read := proven{values: map[string]value{}}
	for _, p := range proofs {
		if err := read.take(p); err != nil {
			return nil, err
		}
	}
	d := &Destroyed{Life: at[*Life](&read, pathLife+id.String()), Receipts: map[api.Digest]*Receipt{}}
	if read.err == nil && !d.Life.Destroy.Done() {
		return nil, fmt.Errorf("%w: the key is not destroyed", ErrProof)
	}
	if read.err == nil && d.Life.Datasets > 0 {
		of := at[*Datasets](&read, pathDataset+id.String())
		if read.err == nil && len(of.List) != int(d.Life.Datasets) {
			return nil, fmt.Errorf("%w: %d data sets, the key has %d", ErrProof, len(of.List), d.Life.Datasets)
		}
		if read.err == nil {
			d.Datasets = of.List
		}
	}
	if read.err == nil {
		d.Escrows = read.escrows(id, int(d.Life.Escrows))
	}
	orders := map[api.Digest]*Ordered{}
	for v := 0; read.err == nil && v < len(d.Life.Destroy.Epochs); v++ {
		version := uint32(v + 1)
		k := at[*Key](&read, keyPath(id, version))
		if read.err != nil {
			break
		}
		if orders[k.Order] == nil {
			orders[k.Order] = at[*Ordered](&read, pathOrder+k.Order.String())
		}
		d.Versions, d.Orders = append(d.Versions, k), append(d.Orders, orders[k.Order])
		var epochs []*Erased
		for _, p := range read.pasts(k, d.Life.Destroy.Epochs[v]) {
			epochs = append(epochs, p.pieces()...)
			for _, by := range p.By {
				if d.Receipts[by.Receipt] == nil {
					d.Receipts[by.Receipt] = at[*Receipt](&read, pathReceipt+by.Receipt.String())
				}
			}
		}
		d.Epochs = append(d.Epochs, epochs)
	}
	if read.err == nil && read.used != len(read.values) {
		read.err = fmt.Errorf("%w: %d values do not belong to the key", ErrProof, len(read.values)-read.used)
	}
	return d, read.err
}

// proven is what proofs show, while it is read.
type proven struct {
	values map[string]value
	last   string // the path that was taken last
	used   int
	err    error // the first failure
}

// take holds every value of a proof against its root.
func (r *proven) take(p *Proof) error {
	if len(p.Values) == 0 || len(p.Values) > maxProven {
		return fmt.Errorf("%w: %d values", ErrProof, len(p.Values))
	}
	for _, v := range p.Values {
		if v.Path <= r.last || !provable(v.Path) {
			return fmt.Errorf("%w: %.80q after %.80q", ErrProof, v.Path, r.last)
		}
		r.last = v.Path
		if root, ok := v.root(); !ok || root != p.Root {
			return fmt.Errorf("%w: from %.80q", ErrProof, v.Path)
		}
		is, err := decoderOf(v.Path)(nil, v.Value)
		if err != nil {
			return fmt.Errorf("%w: at %.80q: %w", ErrProof, v.Path, err)
		}
		r.values[v.Path] = is
	}
	return nil
}

// provable says whether a value of this path belongs in a proof.
func provable(path string) bool {
	return slices.ContainsFunc([]string{pathDataset, pathErased, pathEscrow, pathKey, pathLife, pathOrder, pathReceipt}, func(p string) bool { return strings.HasPrefix(path, p) })
}

// pasts are all epochs of a key version up to its last one, or sets err.
func (r *proven) pasts(k *Key, last uint64) []*Past {
	first := uint64(1)
	if k.Adopted != nil {
		first = k.Adopted.Epoch // those before it had elsewhere
	}
	var out []*Past
	for next := first; r.err == nil && next <= last; {
		p := at[*Past](r, pastPath(k.ID, k.Version, next))
		if r.err != nil {
			break
		}
		if p.Key != k.ID || p.Version != k.Version || p.First != next || p.last() > last {
			r.err = fmt.Errorf("%w: epochs %d to %d of version %d of %s, where %d to %d of version %d should be", ErrProof, p.First, p.last(), p.Version, p.Key, next, last, k.Version)
			break
		}
		out = append(out, p)
		next = p.last() + 1
	}
	return out
}

// escrows are the orders of escrow of a key: so many, each where it belongs.
func (r *proven) escrows(id api.KeyID, want int) []*Escrow {
	var out []*Escrow
	for _, path := range slices.Sorted(maps.Keys(r.values)) {
		if !strings.HasPrefix(path, escrowsPath(id)) {
			continue
		}
		if e := at[*Escrow](r, path); e != nil && path == escrowsPath(e.Key)+e.By.Change.String() {
			out = append(out, e)
		}
	}
	if r.err == nil && len(out) != want {
		r.err = fmt.Errorf("%w: %d orders of escrow, of the key there were %d", ErrProof, len(out), want)
	}
	return out
}

// at is the value that is shown at a path, or sets err.
func at[V value](r *proven, path string) V {
	v, is := r.values[path].(V)
	switch {
	case is:
		r.used++
	case r.err == nil:
		r.err = fmt.Errorf("%w: nothing is shown at %q", ErrProof, path)
	}
	return v
}

// root is the root of the tree that the value is in, by its way; false if that is no way.
func (v *Proven) root() (api.Digest, bool) {
	path := api.Digest(tag.Hash(tag.StatePath, []byte(v.Path)))
	if len(v.Beside) > 8*len(path) {
		return api.Digest{}, false
	}
	value := tag.Hash(tag.StateValue, v.Value)
	at := api.Digest(tag.Hash(tag.StateLeaf, path[:], value[:]))
	for depth, beside := range slices.Backward(v.Beside) {
		left, right := at, beside
		if bit(path, depth) {
			left, right = beside, at
		}
		at = tag.Hash(tag.StateNode, left[:], right[:])
	}
	return at, true
}
