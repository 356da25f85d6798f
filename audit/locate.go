package audit

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// locate sharpens damage that was found. A checkpoint's root says that
// some record differs; which one, the tiles say, and the same root says whether
// the tiles can be believed. Whoever rewrites a record with its hash, or closes
// the gap that a dropped one leaves, would have to rewrite the tiles too, and
// then these have another root. Of the points, the one of most records is used
// whose root the tiles have; with none, err stays as it is.
func locate(from source, points []against, err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	var best against
	for _, p := range points {
		if p.point.Size > best.point.Size && tilesHaveRoot(from.dir, p.point) {
			best = p
		}
	}
	if best.point.Size == 0 {
		return err
	}
	hashes := leaves{dir: from.dir}
	_, found := scan(from, func(f frame, at place, _ *frontier) error {
		if f.index >= best.point.Size {
			return errLocated
		}
		want, err := hashes.at(int64(f.index))
		if err != nil {
			return err
		}
		if f.leaf != want {
			return &DamagedError{
				Index: f.index, Segment: filepath.Base(segmentPath(from.dir, at.segment)), Offset: at.offset,
				Why: fmt.Sprintf("it is not the record that stood there when %s was signed", best.name),
			}
		}
		return nil
	})
	if damage := (*DamagedError)(nil); errors.As(found, &damage) {
		return damage
	}
	return err
}

// errLocated ends a scan that found nothing as far as it had to look.
var errLocated = errors.New("nothing found below the checkpoint")

// tilesHaveRoot says whether the tiles hold every leaf hash under a checkpoint.
func tilesHaveRoot(dir string, p Checkpoint) bool {
	hashes := leaves{dir: dir}
	var tree frontier
	for index := range int64(p.Size) {
		h, err := hashes.at(index)
		if err != nil {
			return false
		}
		tree.add(h)
	}
	return tree.root() == tlog.Hash(p.Root)
}
