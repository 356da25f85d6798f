package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Bounds of registered data sets, which are never pruned: at most 3 KiB each.
const (
	// MaxDatasets bounds those of one key, so that they fit into one proof.
	MaxDatasets = 32
	// MaxDatasetsOfOwner bounds those that one owner states of one key, so that nobody
	// shuts out the others.
	MaxDatasetsOfOwner = 8
	// maxDatasetsInAll bounds them all: some 50 MB of every node's memory.
	maxDatasetsInAll = 1 << 14
)

// Reasons for which a statement about a data set is a no-op.
var (
	// ErrDatasetNamed means that the owner has stated something else of this name.
	ErrDatasetNamed = errors.New("its owner has registered another data set of this name under the key")
	// ErrManyDatasets means that one bound or another of data sets is reached.
	ErrManyDatasets = errors.New("there are as many data sets as may be registered")
)

// Datasets are what owners have stated to be under a key, in the order in which it came.
// How many there are stands in the key's life as well, so that none can be left out.
type Datasets struct {
	List []Registered `cbor:"1,keyasint"`
}

// Registered is one owner's statement.
type Registered struct {
	Entry []byte `cbor:"1,keyasint"` // see authority.VerifyDataset
	Node  string `cbor:"2,keyasint"` // which knew the caller by the certificate in it
	Index uint64 `cbor:"3,keyasint"` // Raft index
	Time  int64  `cbor:"4,keyasint"` // ledger time then, Unix milliseconds
}

// datasetCount is how many data sets are registered in all.
type datasetCount struct {
	Count uint64 `cbor:"1,keyasint"`
}

func (v *Datasets) digest() api.Digest     { return digestOf(v) }
func (v *datasetCount) digest() api.Digest { return digestOf(v) }

// Datasets lists what owners have stated to be under a key.
func (s *State) Datasets(id api.KeyID) []Registered {
	if of := get[*Datasets](s, pathDataset+id.String()); of != nil {
		return of.List
	}
	return nil
}

// takeDataset keeps an owner's statement that a node was handed.
func (s *State) takeDataset(d *draft, index uint64, node string, b *authority.DatasetPost) error {
	said, err := readDataset(b.Entry)
	if err != nil {
		return err
	}
	if said.Cluster != s.genesis.Cluster {
		return fmt.Errorf("%w: it is for the cluster %s", authority.ErrDataset, said.Cluster)
	}
	l, err := s.namedKey(said.Key)
	if err != nil {
		return err
	}
	if l.Destroy.Done() {
		return ErrDying
	}
	list, owns := s.Datasets(said.Key), 0
	for _, r := range list {
		before, err := readDataset(r.Entry)
		switch {
		case bytes.Equal(r.Entry, b.Entry):
			return &earlier{ErrTaken, r.Index}
		case err != nil:
			return err // it was taken: it cannot be
		case before.Owner != said.Owner:
		case before.Name == said.Name:
			return ErrDatasetNamed
		default:
			owns++
		}
	}
	all := datasetCount{Count: 1}
	if n := get[*datasetCount](s, pathDatasets); n != nil {
		all.Count += n.Count
	}
	if len(list) >= MaxDatasets || owns >= MaxDatasetsOfOwner || all.Count > maxDatasetsInAll {
		return fmt.Errorf("%w: %d under the key, %d of them its own", ErrManyDatasets, len(list), owns)
	}
	next := *l
	next.Datasets = uint32(len(list) + 1)
	d.put(pathLife+said.Key.String(), &next)
	d.put(pathDataset+said.Key.String(), &Datasets{append(slices.Clone(list), Registered{Entry: b.Entry, Node: node, Index: index, Time: s.Time()})})
	d.put(pathDatasets, &all)
	return nil
}

func readDataset(entry []byte) (*authority.Dataset, error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	return authority.VerifyDataset(e)
}
