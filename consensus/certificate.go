package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Signature is a member's word that it has applied the entry of some index, and
// that some link is the one after the last command at or below it.
type Signature struct {
	Node  string `cbor:"1,keyasint"`
	Bytes []byte `cbor:"2,keyasint"`
}

// Endorsement is how members vouch for a snapshot. Who signs with which key is the
// caller's; how many must, is asked here.
type Endorsement[S any] struct {
	// Threshold is how many members must have signed.
	Threshold int
	// Gather asks members, this one included, to sign, until ctx ends at the
	// latest. It returns what it has, which may be too few. An error means that
	// no snapshot may be made now. It may wait: Raft goes on meanwhile.
	Gather func(ctx context.Context, index uint64, link api.Digest) ([]Signature, error)
	// Verify checks one signature of a member of a state, which is the one that the
	// snapshot holds: it is believed by what leads to it from genesis, and a node that was
	// away or is new may not know its members yet. One that is [ErrUncounted] does not count,
	// any other failure refuses the snapshot. It is called on Raft's main goroutine.
	Verify func(of S, s Signature, index uint64, link api.Digest) error
}

// What stands in front of a state in a snapshot:
//
//	format 1 | length 4, big endian | canonical CBOR of the certificate
const (
	certificateFormat = 1
	maxCertificate    = 64 << 10 // some 500 signatures; a roster has far fewer
)

// Reasons why a snapshot is refused. The node goes on with what it has.
var (
	// ErrSnapshot means that a snapshot is not one that this cluster has signed.
	ErrSnapshot = errors.New("consensus: not a snapshot of this cluster")
	// ErrTooFewSignatures means that fewer members than the threshold vouch for it.
	ErrTooFewSignatures = errors.New("consensus: too few members have signed the snapshot")
	// ErrUncounted means that who signed a snapshot is no member as far as is known here: it
	// has left since, or came later, and may say what it likes. The snapshot may be true
	// all the same, and those who are known may have signed it too.
	ErrUncounted = errors.New("consensus: who signed the snapshot does not count")
	// ErrBehind means that a snapshot would take back what this node has.
	ErrBehind = errors.New("consensus: the snapshot is behind this node")
)

// certificate says which point of the chain a state belongs to. Index is that of
// the last entry of Raft's, commands and others, that the snapshot takes the place
// of, and not that of the last command: if it were not signed, a leader could put
// a true state at a later index, and the entries between would be skipped.
type certificate struct {
	Index      uint64      `cbor:"1,keyasint"`
	Link       api.Digest  `cbor:"2,keyasint"` // after the last command at or below Index
	Signatures []Signature `cbor:"3,keyasint"`
}

// signedIn counts the members of a state that have signed, without those who are none as
// far as is known here: each one of them, none twice, all of them valid.
func signedIn[S any](of S, members paths, c *certificate, e *Endorsement[S]) error {
	signed, uncounted := map[string]bool{}, 0
	for _, s := range c.Signatures {
		switch {
		case !members.has(s.Node):
			return fmt.Errorf("%w: signed by %.*q, who is not on the roster", ErrSnapshot, maxField, s.Node)
		case signed[s.Node]:
			return fmt.Errorf("%w: signed by %s twice", ErrSnapshot, s.Node)
		}
		err := e.Verify(of, s, c.Index, c.Link)
		if errors.Is(err, ErrUncounted) {
			uncounted++
		} else if err != nil {
			return fmt.Errorf("%w: the signature of %s: %w", ErrSnapshot, s.Node, err)
		}
		signed[s.Node] = true
	}
	if len(signed)-uncounted < e.Threshold {
		return fmt.Errorf("%w: %d, at least %d; %d do not count", ErrTooFewSignatures, len(signed)-uncounted, e.Threshold, uncounted)
	}
	return nil
}

func (c *certificate) write(w io.Writer) error {
	b := wire.Encode(c)
	head := binary.BigEndian.AppendUint32([]byte{certificateFormat}, uint32(len(b)))
	_, err := w.Write(append(head, b...))
	return err
}

func readCertificate(r io.Reader) (*certificate, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != certificateFormat || n > maxCertificate {
		return nil, fmt.Errorf("%w: format %d, a certificate of %d bytes", ErrSnapshot, head[0], n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	var c certificate
	if err := wire.Decode(b, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return &c, nil
}
