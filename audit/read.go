package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// readRange shows take the frames between offset and end of one segment, from
// index from on, until it wants no more, and returns the index after the last one
// shown. Frames before from are skipped.
func readRange(path string, offset, end int64, from uint64, take func(frame) (more bool, err error)) (next uint64, more bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return from, false, err
	}
	defer f.Close()
	r := frameReader{bufio.NewReader(io.NewSectionReader(f, offset, end-offset))}
	next, more = from, true
	for more && offset < end {
		damaged := func(index uint64, why error) error {
			return &DamagedError{Index: index, Segment: filepath.Base(path), Offset: offset, Why: why.Error()}
		}
		index, size, err := r.peek()
		if err != nil {
			return next, false, damaged(next, err)
		}
		if index < from {
			if _, err := r.Discard(size); err != nil {
				return next, false, damaged(index, err)
			}
			offset += int64(size)
			continue
		}
		fr, err := r.next()
		if err != nil {
			return next, false, damaged(next, err)
		}
		if fr.index != next {
			return next, false, damaged(next, fmt.Errorf("record %d stands in its place", fr.index))
		}
		if more, err = take(fr); err != nil {
			return next, false, damaged(next, err)
		}
		next++
		offset += int64(size)
	}
	return next, more, nil
}

// frameReader reads frames one after the other, each no larger than a frame may be.
type frameReader struct{ *bufio.Reader }

// peek reads the index and the size of the next frame, neither of which is checked
// against its hash yet. At the end it gives [io.EOF].
func (r frameReader) peek() (index uint64, size int, err error) {
	header, err := r.Peek(headerSize)
	if errors.Is(err, io.EOF) && len(header) > 0 {
		err = errFrame
	}
	if err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(header)
	if n == 0 || n > MaxRecord {
		return 0, 0, errFrame
	}
	return binary.BigEndian.Uint64(header[4:]), frameExtra + int(n), nil
}

// next reads a frame into memory of its own.
func (r frameReader) next() (frame, error) {
	_, size, err := r.peek()
	if err != nil {
		return frame{}, err
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, errFrame
	}
	fr, _, err := parseFrame(b)
	return fr, err
}
