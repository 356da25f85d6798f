package tag

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// List encodes (t, parts...) injectively: count, then each length and its bytes.
func List(t Tag, parts ...[]byte) []byte {
	return appendList(make([]byte, 0, size(t, parts)), t, parts)
}

func size(t Tag, parts [][]byte) int {
	n := 8 + 8 + len(t)
	for _, p := range parts {
		n += 8 + len(p)
	}
	return n
}

func appendList(b []byte, t Tag, parts [][]byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(parts)+1))
	b = binary.BigEndian.AppendUint64(b, uint64(len(t)))
	b = append(b, t...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// usual is the size of most lists that are hashed: an envelope and what it is bound to. A
// list is hashed in one piece, since many small ones cost more than the hash.
const usual = 640

// Hash is SHA-256 of [List].
func Hash(t Tag, parts ...[]byte) [32]byte {
	var room [usual]byte
	b := room[:0]
	if n := size(t, parts); n > usual {
		b = make([]byte, 0, n)
	}
	return sha256.Sum256(appendList(b, t, parts))
}

// Write feeds [List] to h, for a MAC.
func Write(h hash.Hash, t Tag, parts ...[]byte) { h.Write(List(t, parts...)) }

// Uint64 encodes v as eight bytes, big-endian, for use as a part.
func Uint64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
