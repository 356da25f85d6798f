package audit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// readRange returns up to n records from index from on, out of the frames
// between offset and end of one segment. Frames before from are skipped.
func readRange(path string, offset, end int64, from uint64, n int) ([]Indexed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(io.NewSectionReader(f, offset, end-offset))
	var records []Indexed
	for offset < end && len(records) < n {
		damaged := func(index uint64, why error) error {
			return &DamagedError{Index: index, Segment: filepath.Base(path), Offset: offset, Why: why.Error()}
		}
		header, err := r.Peek(headerSize)
		if err != nil {
			return nil, damaged(from, err)
		}
		size := frameExtra + int(binary.BigEndian.Uint32(header))
		if size > frameExtra+MaxRecord {
			return nil, damaged(from, errFrame)
		}
		if index := binary.BigEndian.Uint64(header[4:]); index < from {
			if _, err := r.Discard(size); err != nil {
				return nil, damaged(index, err)
			}
			offset += int64(size)
			continue
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, damaged(from, err)
		}
		fr, _, err := parseFrame(b)
		if err != nil {
			return nil, damaged(from, err)
		}
		if want := from + uint64(len(records)); fr.index != want {
			return nil, damaged(want, fmt.Errorf("record %d stands in its place", fr.index))
		}
		record, err := DecodeRecord(fr.body)
		if err != nil {
			return nil, damaged(fr.index, err)
		}
		records = append(records, Indexed{Index: fr.index, Record: record})
		offset += int64(size)
	}
	return records, nil
}
