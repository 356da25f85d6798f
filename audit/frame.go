package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	headerSize = 4 + 8 + 8
	frameExtra = headerSize + tlog.HashSize
)

// errFrame is what a damaged or torn frame gives; what it means depends on what
// comes after it.
var errFrame = errors.New("bad frame")

// frame is one record as it lies in a segment; doc.go draws it.
type frame struct {
	index uint64
	first uint64 // of the same commit
	body  []byte
	leaf  tlog.Hash
}

// leafHash is RFC 6962's hash of a leaf that holds the commit's first index and
// the record: the 8 bytes before the record, and the record, as they lie in the
// frame. So nothing of a frame is outside of the tree: n and the index are
// bound by the record's end and its place.
func leafHash(first uint64, body []byte) tlog.Hash {
	var few [leafRoom]byte
	b := append(few[:0], leafPrefix)
	return sha256.Sum256(append(binary.BigEndian.AppendUint64(b, first), body...))
}

const (
	// leafPrefix is what RFC 6962 puts before a leaf, section 2.1.
	leafPrefix = 0
	// leafRoom is enough for the leaf of a release.
	leafRoom = 1 << 10
)

func (f frame) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.body)))
	b = binary.BigEndian.AppendUint64(b, f.index)
	b = binary.BigEndian.AppendUint64(b, f.first)
	b = append(b, f.body...)
	return append(b, f.leaf[:]...)
}

// parseFrame reads the frame at the start of b and how many bytes it takes. The
// body is not copied and not decoded; its hash is checked.
func parseFrame(b []byte) (frame, int, error) {
	if len(b) < frameExtra {
		return frame{}, 0, errFrame
	}
	n := int(binary.BigEndian.Uint32(b))
	if n == 0 || n > MaxRecord || n > len(b)-frameExtra {
		return frame{}, 0, errFrame
	}
	f := frame{
		index: binary.BigEndian.Uint64(b[4:]),
		first: binary.BigEndian.Uint64(b[12:]),
		body:  b[headerSize : headerSize+n],
	}
	copy(f.leaf[:], b[headerSize+n:])
	if f.first > f.index || leafHash(f.first, f.body) != f.leaf {
		return frame{}, 0, errFrame
	}
	return f, frameExtra + n, nil
}

// laterCommit says whether anywhere in b lies a whole frame of a commit that
// began after the record next: proof that next was synced once.
func laterCommit(b []byte, next uint64) bool {
	for ; len(b) >= frameExtra; b = b[1:] {
		// The indices are compared before anything is hashed: few places pass.
		if first := binary.BigEndian.Uint64(b[12:]); first <= next || first > binary.BigEndian.Uint64(b[4:]) {
			continue
		}
		if f, _, err := parseFrame(b); err == nil && f.first > next {
			return true
		}
	}
	return false
}
