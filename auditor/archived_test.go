package auditor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/audit"
	"warifu.dev/authority"
)

// archivedWorld is a busy one in which n1 has moved most of its log away, what the
// custodians signed included.
func archivedWorld(t *testing.T) (w *world, key *authority.SignedRecord, archive string) {
	t.Helper()
	w, key = busy(t)
	w.segment = 16 << 10
	reopen := func() {
		if err := w.logs["n1"].Close(); err != nil {
			t.Fatal(err)
		}
		w.logs["n1"] = w.openLog("n1", filepath.Join(w.dir, "n1"))
	}
	reopen()
	for i := range 600 {
		w.release(byte(i), alice, "payroll", key.Record.Key, "much", "n1")
		w.tick(time.Second)
	}
	if _, err := w.logs["n1"].Checkpoint(); err != nil {
		t.Fatal(err)
	}
	archive = filepath.Join(t.TempDir(), "archive")
	if err := w.logs["n1"].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Archive(filepath.Join(w.dir, "n1"), archive, &w.keys["n1"].PublicKey); err != nil {
		t.Fatal(err)
	}
	w.logs["n1"] = w.openLog("n1", filepath.Join(w.dir, "n1"))
	if w.logs["n1"].Archived() < 100 {
		t.Fatalf("%d records are archived", w.logs["n1"].Archived())
	}
	return w, key, archive
}

func (w *world) exportWith(dir string, since int64, archives Archives) *Manifest {
	w.t.Helper()
	m, err := Take(context.Background(), Request{Dir: dir, Genesis: w.genesis, Source: w, Since: since, Now: w.clock, Archives: archives})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// What a node has archived is in an export when the archive is given: all of it, or,
// with --since, what custodians signed before. Without it only the hashes are.
func TestAnExportReadsTheArchive(t *testing.T) {
	w, _, archive := archivedWorld(t)
	segments, err := audit.OpenSegments(archive)
	if err != nil {
		t.Fatal(err)
	}
	archived, size := w.logs["n1"].Archived(), w.logs["n1"].Size()
	if segments.End() != archived {
		t.Errorf("the archive ends with %d, archived are %d", segments.End(), archived)
	}
	dir := filepath.Join(t.TempDir(), "without")
	m := w.exportWith(dir, 0, nil)
	r := mustVerify(t, w.open(dir), Given{}).Nodes[0]
	if m.Nodes[0].From != archived || r.Held != size-archived || r.Damage != nil {
		t.Errorf("without the archive: %+v, %+v", m.Nodes[0], r)
	}
	dir = filepath.Join(t.TempDir(), "with")
	m = w.exportWith(dir, 0, Archives{"n1": segments})
	r = mustVerify(t, w.open(dir), Given{}).Nodes[0]
	if m.Nodes[0].From != 0 || m.Nodes[0].State != "" || r.Held != size || r.Damage != nil || len(r.Notes) != 0 {
		t.Errorf("with the archive: %+v, %+v", m.Nodes[0], r)
	}
	for _, tt := range []struct {
		sentence string
		since    int64
	}{{"since a time that is archived", born + time.Hour.Milliseconds() + 100_000}, {"since a time that is not", w.clock - 10_000}} {
		dir = filepath.Join(t.TempDir(), "since")
		m = w.exportWith(dir, tt.since, Archives{"n1": segments})
		report := mustVerify(t, w.open(dir), Given{})
		r = report.Nodes[0]
		if in := m.Nodes[0].From < archived; m.Nodes[0].From == 0 || in != (tt.since < w.clock-10_000) || r.Damage != nil {
			t.Errorf("%s: %+v, %+v", tt.sentence, m.Nodes[0], r)
		}
		if r.Held != size-m.Nodes[0].From+5 { // what was signed, and the record before the place
			t.Errorf("%s: %d records are here, of %d from %d on", tt.sentence, r.Held, size, m.Nodes[0].From)
		}
	}
}

// An archive is believed by the hashes under the node's checkpoint alone: an altered
// one, another node's and one that lacks segments are named, and the export of that
// node is not whole.
func TestAFalseArchiveIsNamed(t *testing.T) {
	w, _, archive := archivedWorld(t)
	open := func(dir string) *audit.Segments {
		s, err := audit.OpenSegments(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	state := func(s *audit.Segments) string {
		m := w.exportWith(filepath.Join(t.TempDir(), "export"), 0, Archives{"n1": s})
		for _, n := range m.Nodes[1:] {
			if n.State != "" {
				t.Errorf("%s was not taken: %s", n.Node, n.State)
			}
		}
		return m.Nodes[0].State
	}
	first := filepath.Join(archive, "records-00000000")
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	altered := append([]byte(nil), b...)
	altered[len(altered)/2] ^= 1
	for _, tt := range []struct {
		sentence string
		spoil    func(dir string) error
		says     string
	}{
		{"nothing is wrong", func(string) error { return nil }, ""},
		{"a byte was altered", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "records-00000000"), altered, 0o600)
		}, "damaged"},
		{"the last segments are not there", func(dir string) error {
			files, err := filepath.Glob(filepath.Join(dir, "records-*"))
			for _, f := range files[1:] {
				err = errors.Join(err, os.Remove(f))
			}
			return err
		}, "archive that was given ends before"},
	} {
		dir := filepath.Join(t.TempDir(), "archive")
		if err := errors.Join(os.CopyFS(dir, os.DirFS(archive)), tt.spoil(dir)); err != nil {
			t.Fatal(err)
		}
		if got := state(open(dir)); (tt.says == "") != (got == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q", tt.sentence, got)
		}
	}
	if got := state(open(filepath.Join(w.dir, "n2"))); !strings.Contains(got, "") || got == "" {
		t.Errorf("another node's: %q", got)
	}
	if _, err := audit.OpenSegments(t.TempDir()); err == nil {
		t.Error("an empty folder is an archive")
	}
	if err := os.WriteFile(first, []byte("no frames"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenSegments(archive); err == nil {
		t.Error("a file that holds no records is an archive")
	}
}
