package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"warifu.dev/internal/wire"
)

const (
	stubPrefix = "archived-"
	// maxStub bounds a stub: four numbers and one frame.
	maxStub = frameExtra + MaxRecord + 64
)

// stub stands where an archived segment stood. Its records' hashes are in the full
// tiles of level 0, which stay, so the tree needs the records no more.
type stub struct {
	Segment int    `cbor:"1,keyasint"`
	First   uint64 `cbor:"2,keyasint"` // index of the first record
	Count   uint64 `cbor:"3,keyasint"` // how many there are
	Bytes   int64  `cbor:"4,keyasint"` // of the segment's file
	// Ledger is the frame of the newest record that says how far the ledger was
	// taken over, see [Log.Journaled]; empty if the segment has none.
	Ledger []byte `cbor:"5,keyasint,omitempty"`
}

func stubPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d", stubPrefix, n))
}

func (s *stub) end() uint64 { return s.First + s.Count }

// told is the frame in the stub.
func (s *stub) told() (frame, bool) {
	f, _, err := parseFrame(s.Ledger)
	return f, err == nil
}

var errStub = errors.New("not a stub")

// decodeStub reads a stub and holds it against itself.
func decodeStub(b []byte) (*stub, error) {
	var s stub
	if len(b) > maxStub {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errStub, len(b), maxStub)
	}
	if err := wire.Decode(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errStub, err)
	}
	if s.Count == 0 || s.First > maxSize || s.Count > maxSize || s.Bytes <= 0 || s.Bytes > maxSegment {
		return nil, fmt.Errorf("%w: a field is out of bounds", errStub)
	}
	if len(s.Ledger) > 0 {
		f, size, err := parseFrame(s.Ledger)
		if err != nil || size != len(s.Ledger) || f.index < s.First || f.index >= s.end() {
			return nil, fmt.Errorf("%w: the record in it is not of its segment", errStub)
		}
	}
	return &s, nil
}

// readStub reads the stub of segment n.
func readStub(dir string, n int) (*stub, error) {
	path := stubPath(dir, n)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := decodeStub(b)
	if err == nil && s.Segment != n {
		err = fmt.Errorf("%w: of segment %d", errStub, s.Segment)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Base(path), err)
	}
	return s, nil
}
