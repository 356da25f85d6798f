package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/internal/wire"
)

// A state at rest, and on its way to a node that was away:
//
//	format 1 | head | item ... | end 4, zero
//	head, item: length 4, big endian, not 0 | canonical CBOR of that length
//
// Items come by ascending path, none twice. The genesis document is not in it:
// every node has that from its custodians.
const encodingFormat = 1

// Bounds of an encoding. The largest value is a session with its board: of a batch, which
// has no joins beside it.
const (
	maxItem = board.MaxEncoding + 4<<10
	// maxItems is what 200 years of ten changes a day would come to, and still
	// fits in memory.
	maxItems = 1 << 20
)

// Reasons why bytes are not taken for a state.
var (
	// ErrEncoding means that the bytes do not decode.
	ErrEncoding = errors.New("not the encoding of a ledger state")
	// ErrRoot means that the content has another root than the head says.
	ErrRoot = errors.New("the state's content does not give its root")
)

// RootError is [ErrRoot] with both roots.
type RootError struct{ Is, Head api.Digest }

func (e *RootError) Error() string {
	return fmt.Sprintf("%v: it is %s, the head says %s", ErrRoot, e.Is, e.Head)
}

// Unwrap returns [ErrRoot].
func (e *RootError) Unwrap() error { return ErrRoot }

// head is what a state is beside its content: the step that led to it. It gives
// the link, which therefore does not stand in it.
type head struct {
	Index    uint64     `cbor:"1,keyasint"`
	Previous api.Digest `cbor:"2,keyasint"`
	Entry    api.Digest `cbor:"3,keyasint"`
	Root     api.Digest `cbor:"4,keyasint"`
}

type item struct {
	Path  string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

// decoders is the one table of what may stand where. A name that ends in a slash
// is the beginning of a path.
var decoders = map[string]func(g *authority.VerifiedGenesis, b []byte) (value, error){
	pathChange:   decodeAs[Taken],
	pathPolicy:   decodeAs[Policy],
	pathCA:       decodeAs[CA],
	pathOrder:    decodeAs[Ordered],
	pathName:     decodeAs[named],
	pathSession:  decodeSession,
	pathKey:      decodeAs[Key],
	pathAnchor:   decodeAs[Anchored],
	pathAddress:  decodeAs[Address],
	pathLock:     decodeAs[Locks],
	pathGrants:   decodeAs[Grants],
	pathTime:     decodeAs[ledgerTime],
	pathRevoked:  decodeAs[revoked],
	pathDenial:   decodeAs[Denial],
	pathLifted:   decodeAs[Lifted],
	pathDrill:    decodeAs[Drilled],
	pathCustody:  decodeAs[Successor],
	pathProposal: decodeAs[Proposal],
	pathRotation: decodeAs[named],
	pathPeriod:   decodeAs[named],
	pathLife:     decodeAs[Life],
	pathTrust:    decodeAs[trustMoved],
	pathRenewal:  decodeAs[Renewal],
	pathRenewed:  decodeAs[Renewal],
	pathOlder:    decodeAs[Older],
	pathErased:   decodePast,
	pathReceipt:  decodeAs[Receipt],
	pathRepair:   decodeAs[lastRepair],
	pathRotated:  decodeAs[rotated],
	pathStone:    decodeAs[milestone],
	pathEnded:    decodeAs[ended],
	pathDataset:  decodeAs[Datasets],
	pathDatasets: decodeAs[datasetCount],
	pathPool:     decodeAs[Pool],
	pathPooled:   decodeAs[Pooled],
	pathEscrow:   decodeAs[Escrow],
	pathEscrowed: decodeAs[SealedShare],
}

func decodeAs[V any, P interface {
	*V
	value
}](_ *authority.VerifiedGenesis, b []byte) (value, error) {
	v := P(new(V))
	if err := wire.Decode(b, v); err != nil {
		return nil, err
	}
	return v, nil
}

// encodedSession is a [Session] as it is written.
type encodedSession struct {
	ID         api.Digest `cbor:"1,keyasint"`
	Order      api.Digest `cbor:"2,keyasint"`
	Attempt    uint64     `cbor:"3,keyasint"`
	LinkBefore api.Digest `cbor:"4,keyasint"`
	Opened     uint64     `cbor:"5,keyasint"`
	OpenedTime int64      `cbor:"6,keyasint"`
	Board      []byte     `cbor:"7,keyasint"`
	Roster     uint64     `cbor:"8,keyasint"`

	Participants []string     `cbor:"9,keyasint"`
	PhaseSeconds uint32       `cbor:"10,keyasint"`
	Keys         []KeyVersion `cbor:"11,keyasint,omitempty"`
	Joins        [][]byte     `cbor:"12,keyasint,omitempty"`
}

func encodeValue(v value) []byte {
	s, ok := v.(*Session)
	if !ok {
		return wire.Encode(v)
	}
	return wire.Encode(&encodedSession{
		ID: s.ID, Order: s.Order, Attempt: s.Attempt, LinkBefore: s.LinkBefore,
		Opened: s.Opened, OpenedTime: s.OpenedTime, Board: s.Board.Encode(), Roster: s.Roster,
		Participants: s.Participants, PhaseSeconds: s.PhaseSeconds, Keys: s.Keys, Joins: s.Joins,
	})
}

func decodeSession(g *authority.VerifiedGenesis, b []byte) (value, error) {
	var e encodedSession
	if err := wire.Decode(b, &e); err != nil {
		return nil, err
	}
	on, err := board.Decode(e.ID, g.Cluster, e.Board)
	if err != nil {
		return nil, err
	}
	return &Session{
		ID: e.ID, Order: e.Order, Attempt: e.Attempt, LinkBefore: e.LinkBefore,
		Opened: e.Opened, OpenedTime: e.OpenedTime, Board: on, Roster: e.Roster,
		Participants: e.Participants, PhaseSeconds: e.PhaseSeconds, Keys: e.Keys, Joins: e.Joins,
	}, nil
}

func decoderOf(path string) func(*authority.VerifiedGenesis, []byte) (value, error) {
	if name, _, below := strings.Cut(path, "/"); below {
		return decoders[name+"/"]
	}
	return decoders[path]
}

// Encode writes the state for [Decode]. The same state gives the same bytes on
// every node. An error is the writer's.
func (s *State) Encode(w io.Writer) error {
	out := bufio.NewWriter(w)
	_ = out.WriteByte(encodingFormat) // errors stay until Flush
	writePiece(out, wire.Encode(head{Index: s.last.index, Previous: s.last.previous, Entry: s.last.entry, Root: s.Root()}))
	s.values.Root().Walk(func(path []byte, v value) bool {
		writePiece(out, wire.Encode(item{Path: string(path), Value: encodeValue(v)}))
		return false
	})
	_, _ = out.Write(make([]byte, 4))
	return out.Flush()
}

func writePiece(out *bufio.Writer, b []byte) {
	_, _ = out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
	_, _ = out.Write(b)
}

// Decode reads a state of the cluster that began with this genesis, to the end of
// r. Nothing that it says of itself is believed: the root is computed from the
// content, and the link from the root and the step before. Whether that link is
// the cluster's, the caller has to know.
func Decode(g *authority.VerifiedGenesis, r io.Reader) (*State, error) {
	in := bufio.NewReader(r)
	format, err := in.ReadByte()
	if err != nil || format != encodingFormat {
		return nil, fmt.Errorf("%w: format %d, %v", ErrEncoding, format, err)
	}
	var h head
	if b, err := readPiece(in); err != nil {
		return nil, err
	} else if err := wire.Decode(b, &h); err != nil {
		return nil, fmt.Errorf("%w: its head: %w", ErrEncoding, err)
	}
	s := empty(g)
	if err := s.readItems(in); err != nil {
		return nil, err
	}
	if root := s.Root(); root != h.Root {
		return nil, &RootError{Is: root, Head: h.Root}
	}
	if get[*ledgerTime](s, pathTime) == nil || s.OrderByHash(s.rootOrder) == nil {
		return nil, fmt.Errorf("%w: it lacks what is there from the beginning", ErrEncoding)
	}
	s.last = step{index: h.Index, previous: h.Previous, entry: h.Entry}
	s.link = s.last.link(h.Root)
	if t := get[*trustMoved](s, pathTrust); t != nil {
		s.lastCA = t.Change
	}
	if err := s.recallCustody(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *State) readItems(in *bufio.Reader) error {
	d := s.draft()
	last := ""
	for count := 0; ; count++ {
		b, err := readPiece(in)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		var it item
		if err := wire.Decode(b, &it); err != nil {
			return fmt.Errorf("%w: after %q: %w", ErrEncoding, last, err)
		}
		decode := decoderOf(it.Path)
		if decode == nil || it.Path <= last || strings.Contains(it.Path, "\x00") || count == maxItems {
			return fmt.Errorf("%w: %q after %q, item %d", ErrEncoding, it.Path, last, count)
		}
		v, err := decode(s.genesis, it.Value)
		if err != nil {
			return fmt.Errorf("%w: at %q: %w", ErrEncoding, it.Path, err)
		}
		d.put(it.Path, v)
		last = it.Path
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: bytes after the end (%v)", ErrEncoding, err)
	}
	d.commit()
	return nil
}

// readPiece returns the next piece, or nil at the end of them.
func readPiece(in *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	n := binary.BigEndian.Uint32(length[:])
	switch {
	case n == 0:
		return nil, nil
	case n > maxItem:
		return nil, fmt.Errorf("%w: an item of %d bytes, at most %d", ErrEncoding, n, maxItem)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return b, nil
}
