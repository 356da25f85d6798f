// Package dealt reads what was dealt in ceremonies out of a node's log as it stands on
// its disk, for tests that look whether it is gone.
package dealt

import (
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
)

// In returns the bodies of all deals that stand in the log below dir. The log may be
// one that is being written, and files may go meanwhile.
func In(dir string) [][]byte {
	var found [][]byte
	files, _ := filepath.Glob(filepath.Join(dir, "raft", "*.wal")) // the pattern is right
	for _, path := range files {
		if b, err := os.ReadFile(path); err == nil {
			found = append(found, inSegment(b)...)
		}
	}
	return found
}

// inSegment walks the frames of a segment of raft-wal: a header of 32 bytes, then
// frames of a header of 8 bytes, which says kind and size, padded to 8.
func inSegment(b []byte) (found [][]byte) {
	const fileHeader, frameHeader = 32, 8
	const entry, index, commit = 1, 2, 3
	for at := fileHeader; at+frameHeader <= len(b); {
		size := int(binary.LittleEndian.Uint32(b[at+4:]))
		switch b[at] {
		case entry:
			if at+frameHeader+size > len(b) {
				return found
			}
			var l raft.Log
			if err := (&wal.BinaryCodec{}).Decode(b[at+frameHeader:][:size], &l); err != nil {
				return found
			}
			if body := deal(l.Data); body != nil {
				found = append(found, body)
			}
		case index:
		case commit:
			size = 0
		default:
			return found
		}
		at += frameHeader + (size+7)/8*8
	}
	return found
}

// deal is the body of the deal that an entry posts, or nil.
func deal(entry []byte) []byte {
	e, err := authority.ParseEntry(entry)
	if err != nil || e.Kind != authority.KindPost {
		return nil
	}
	var st authority.Statement
	var p authority.Post
	if wire.Decode(e.Body, &st) != nil || wire.Decode(st.Body, &p) != nil || dkg.Kind(p.Kind) != dkg.KindDeal {
		return nil
	}
	return p.Body
}

// Mark is a part of a body that no other one has: of what was sealed, and not of what
// may stay public.
func Mark(body []byte) []byte { return body[len(body)/4 : len(body)/2] }
