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
	Origin     string   `json:"origin,omitempty"` // of the checkpoint found, or of the older one given
	Size       uint64   `json:"size"`             // whole records
	Root       [32]byte `json:"root"`
	Checkpoint uint64   `json:"checkpoint"` // records under the directory's own checkpoint
	Older      uint64   `json:"older"`      // records under the older checkpoint given
	First      int64    `json:"first"`      // time of the first record, Unix milliseconds
	Last       int64    `json:"last"`       // of the last
	Torn       int64    `json:"torn"`       // bytes of an unfinished commit at the end: a crash, no damage
}

// VerifyDir verifies a node's audit directory offline: each record against its
// hash and the allow-list, the whole against the directory's own checkpoint and
// against an older one that the auditor kept, when given. pub is the node's key.
// A [DamagedError] names the first bad record.
func VerifyDir(dir string, pub *ecdsa.PublicKey, older []byte) (Report, error) {
	var report Report
	var points []against
	if older != nil {
		p, err := ParseCheckpoint(older, pub)
		if err != nil {
			return report, fmt.Errorf("the older checkpoint: %w", err)
		}
		report.Older, report.Origin = p.Size, p.Origin
		points = append(points, against{"the older checkpoint", p})
	}
	own, err := ownCheckpoint(dir, report.Origin, pub)
	if err != nil {
		return report, err
	}
	report.Checkpoint, report.Origin = own.point.Size, own.point.Origin
	points = append(points, own)
	c, err := scan(dir, func(f frame, at place, tree *frontier) error {
		record, err := DecodeRecord(f.body)
		if err != nil {
			return &DamagedError{Index: f.index, Segment: filepath.Base(segmentPath(dir, at.segment)), Offset: at.offset, Why: err.Error()}
		}
		if f.index == 0 {
			report.First = record.Time
		}
		report.Last = record.Time
		report.Size = uint64(tree.size)
		for _, p := range points {
			if err := p.check(tree); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	report.Size, report.Root, report.Torn = uint64(c.tree.size), c.tree.root(), c.torn
	for _, p := range points {
		if err := p.reached(&c.tree); err != nil {
			return report, err
		}
	}
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
