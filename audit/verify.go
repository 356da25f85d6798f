package audit

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Report says what a verified directory holds.
type Report struct {
	Origin      string   `json:"origin,omitempty"` // of the checkpoint found, or of the one given
	Segments    int      `json:"segments"`
	Size        uint64   `json:"size"` // whole records
	Root        [32]byte `json:"root"`
	Checkpoint  uint64   `json:"checkpoint"`   // records under the directory's own checkpoint
	Kept        uint64   `json:"kept"`         // records under what was given: a checkpoint, anchors
	TailChecked bool     `json:"tail_checked"` // something was given; the directory's own can be taken back with the records
	Archived    uint64   `json:"archived"`     // the first so many are archived and were not read: only their hashes were verified
	First       int64    `json:"first"`        // time of the first record that was read, Unix milliseconds
	Last        int64    `json:"last"`         // of the last
	Torn        int64    `json:"torn"`         // bytes of an unfinished commit at the end: a crash, no damage
	Tiles       int      `json:"tiles"`        // full tiles that hold the hashes of their records
	TilesMissed int      `json:"tiles_missed"` // full tiles missing or altered: the node makes them again, no record is lost
}

// Given is what an auditor brings to a directory.
type Given struct {
	Checkpoint []byte   // of this node, kept from before; nil for none
	Anchors    []Anchor // of this node
	Archive    string   // directory with the segments that were archived; empty if it is not at hand
}

// Anchor is what a node said of its audit in the ledger. Whoever makes one has
// verified that node's signature.
type Anchor struct {
	Name string // what to call it when it does not fit
	Size uint64
	Root [32]byte
}

// VerifyDir verifies a node's audit directory, or a copy of it, offline: each
// record against its hash and the allow-list, the whole against the directory's
// own checkpoint and against what the auditor was given by others. pub is the
// node's key. A [DamagedError] names the first bad record.
//
// Only what was given shows a tail cut off: whoever cuts records can put back the
// checkpoint of that time. Of records in an archive that was not given the hashes
// are verified, by their place in the tree.
func VerifyDir(dir string, pub *ecdsa.PublicKey, given Given) (Report, error) {
	var report Report
	var points []against
	if given.Checkpoint != nil {
		p, err := ParseCheckpoint(given.Checkpoint, pub)
		if err != nil {
			return report, fmt.Errorf("the checkpoint given: %w", err)
		}
		report.Origin = p.Origin
		points = append(points, against{"the checkpoint given", p})
	}
	for _, a := range given.Anchors {
		points = append(points, against{a.Name, Checkpoint{Size: a.Size, Root: a.Root}})
	}
	for _, p := range points {
		report.Kept, report.TailChecked = max(report.Kept, p.point.Size), true
	}
	own, err := ownCheckpoint(dir, report.Origin, pub)
	if err != nil {
		return report, fmt.Errorf("the log's own checkpoint: %w", err)
	}
	report.Checkpoint, report.Origin = own.point.Size, own.point.Origin
	points = append(points, own)
	var edge tileEdge
	c, err := inspect(source{dir, given.Archive}, points, func(f frame, at place, tree *frontier) error {
		if f.body != nil {
			record, err := DecodeRecord(f.body)
			if err != nil {
				return &DamagedError{Index: f.index, Segment: filepath.Base(segmentPath(dir, at.segment)), Offset: at.offset, Why: err.Error()}
			}
			if report.Last == 0 {
				report.First = record.Time
			}
			report.Last = record.Time
		}
		report.Size = uint64(tree.size)
		for _, t := range edge.add(f.leaf) {
			if tileFits(dir, t) {
				report.Tiles++
			} else {
				report.TilesMissed++
			}
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	report.Segments, report.Size, report.Root, report.Torn = len(c.segments), uint64(c.tree.size), c.tree.root(), c.torn
	report.Archived = c.unread
	return report, nil
}

// ownCheckpoint reads and verifies the checkpoint in dir. None is the
// checkpoint of nothing. An empty origin takes any.
func ownCheckpoint(dir, origin string, pub *ecdsa.PublicKey) (against, error) {
	a := against{name: "its own checkpoint", point: Checkpoint{Origin: origin}}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	p, err := ParseCheckpoint(signed, pub)
	if err != nil {
		return a, err
	}
	if origin != "" && p.Origin != origin {
		return a, fmt.Errorf("%w: of %q, not of %q", ErrBadCheckpoint, p.Origin, origin)
	}
	a.point = p
	return a, nil
}
