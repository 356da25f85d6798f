package tag

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// List encodes (t, parts...) injectively: count, then each length and its bytes.
func List(t Tag, parts ...[]byte) []byte {
	size := 8 + 8 + len(t)
	for _, p := range parts {
		size += 8 + len(p)
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint64(b, uint64(len(parts)+1))
	b = binary.BigEndian.AppendUint64(b, uint64(len(t)))
	b = append(b, t...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// Hash is SHA-256 of [List].
func Hash(t Tag, parts ...[]byte) [32]byte {
	h := sha256.New()
	write(h, t, parts)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// Write feeds [List] to h, for a MAC.
func Write(h hash.Hash, t Tag, parts ...[]byte) { write(h, t, parts) }

func write(h hash.Hash, t Tag, parts [][]byte) {
	var n [8]byte
	length := func(v int) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	length(len(parts) + 1)
	length(len(t))
	h.Write([]byte(t))
	for _, p := range parts {
		length(len(p))
		h.Write(p)
	}
}

// Uint64 encodes v as eight bytes, big-endian, for use as a part.
func Uint64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
