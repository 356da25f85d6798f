package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"warifu.dev/authority"
)

// A node that seals anew while it is copied does so in a moment: it is looked at so
// often, with this much time between.
const (
	sealTries = 50
	sealPause = 100 * time.Millisecond
)

// errMoved means that the sealed store changed while it was read.
var errMoved = errors.New("the sealed store keeps changing")

// Write writes a backup of the node in dir, which may be running, and returns its
// manifest. now is what the manifest says. Errors wrap [ErrNoNode] where dir is no node's.
func Write(w io.Writer, dir string, now time.Time) (*Manifest, error) {
	m, err := describe(dir, now)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(w)
	b := &writer{dir: dir, tar: t, manifest: m}
	for _, name := range []string{genesisName, lineName, configName, identityName} {
		if err := b.file(name); err != nil {
			return nil, err
		}
	}
	if err := b.file(chainName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := b.sealed(); err != nil {
		return nil, err
	}
	if err := b.file(snapshotName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := b.audit(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	if err := b.put(manifestName, int64(len(text)), bytes.NewReader(text)); err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	return m, nil
}

// describe says whose directory it is.
func describe(dir string, now time.Time) (*Manifest, error) {
	document, err := os.ReadFile(filepath.Join(dir, genesisName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	line, err := os.ReadFile(filepath.Join(dir, lineName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	m := &Manifest{Format: format, Made: now.UnixMilli()}
	if err := m.identify(document, line); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	return m, nil
}

// identify fills in, from the node's own files, whose backup it is.
func (m *Manifest) identify(document, line []byte) error {
	signed, g, err := authority.ParseSignedGenesis(document)
	if err != nil {
		return err
	}
	if _, err := signed.Verify(); err != nil {
		return err
	}
	n, err := authority.ParseNode(strings.TrimSpace(string(line)))
	if err != nil {
		return err
	}
	m.Node, m.Region, m.Cluster, m.Genesis = n.ID, n.Region, g.Cluster.String(), signed.Hash().String()
	return nil
}

type writer struct {
	dir      string
	tar      *tar.Writer
	manifest *Manifest
}

// put writes size bytes as one file of the archive.
func (b *writer) put(name string, size int64, from io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(b.manifest.Made/1000, 0)}
	err := b.tar.WriteHeader(h)
	if err == nil {
		_, err = io.CopyN(b.tar, from, size)
	}
	if err != nil {
		return fmt.Errorf("write %s into the backup: %w", name, err)
	}
	return nil
}

// add is put, with a line in the manifest.
func (b *writer) add(name string, size int64, from io.Reader) error {
	if !belongs(name) {
		panic("backup: " + name + " does not belong in one")
	}
	if len(b.manifest.Files) >= maxFiles {
		return fmt.Errorf("write the backup: over %d files", maxFiles)
	}
	sum := sha256.New()
	if err := b.put(name, size, io.TeeReader(from, sum)); err != nil {
		return err
	}
	b.manifest.Files = append(b.manifest.Files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// file copies a file as long as it is when it is opened: what grows does so at its end.
func (b *writer) file(name string) error {
	f, err := os.Open(filepath.Join(b.dir, filepath.FromSlash(name)))
	if err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	return b.add(name, info.Size(), f)
}

// sealed copies the sealed store as it was at one moment. Each file of it is replaced
// whole, under its name; a new generation comes under new names, and takes away the old.
func (b *writer) sealed() error {
	for try := range sealTries {
		if try > 0 {
			time.Sleep(sealPause)
		}
		before, err := b.sealedNow()
		if err != nil {
			return err
		}
		content := map[string][]byte{}
		for _, info := range before {
			text, err := os.ReadFile(filepath.Join(b.dir, sealDir, info.Name()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("back up the sealed store: %w", err)
			}
			content[info.Name()] = text
		}
		after, err := b.sealedNow()
		if err != nil {
			return err
		}
		if !slices.EqualFunc(before, after, sameFile) {
			continue
		}
		for _, info := range before {
			text := content[info.Name()]
			if err := b.add(sealDir+"/"+info.Name(), int64(len(text)), bytes.NewReader(text)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("back up the sealed store: %w", errMoved)
}

// sameFile tells whether a name still stands for the same file, unchanged: it is replaced
// by another one, never written in place.
func sameFile(a, b fs.FileInfo) bool {
	return a.Name() == b.Name() && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// sealedNow lists the files of the sealed store, sorted.
func (b *writer) sealedNow() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, sealDir))
	if err != nil {
		return nil, fmt.Errorf("back up the sealed store: %w", err)
	}
	var list []fs.FileInfo
	for _, e := range entries {
		if !belongs(sealDir+"/"+e.Name()) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // just replaced: the next look differs
		case err != nil:
			return nil, fmt.Errorf("back up the sealed store: %w", err)
		case info.Size() > maxSmall:
			return nil, fmt.Errorf("back up the sealed store: %s has %d bytes", e.Name(), info.Size())
		}
		list = append(list, info)
	}
	return list, nil
}

// audit copies the audit: what says how far it goes first, and what it goes on with last.
func (b *writer) audit() error {
	if err := b.file(auditDir + "/checkpoint"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, auditDir)) // sorted: stubs before segments, each in order
	if err != nil {
		return fmt.Errorf("back up the audit: %w", err)
	}
	for _, e := range entries {
		name := auditDir + "/" + e.Name()
		if !e.Type().IsRegular() || !belongs(name) || name == auditDir+"/checkpoint" {
			continue
		}
		if err := b.file(name); err != nil {
			return err
		}
	}
	tiles := filepath.Join(b.dir, auditDir, "tile")
	return filepath.WalkDir(tiles, func(at string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a partial tile gives way to the next
		}
		if err != nil {
			return fmt.Errorf("back up the audit: %w", err)
		}
		below, err := filepath.Rel(b.dir, at)
		if err != nil {
			return err
		}
		if name := filepath.ToSlash(below); e.Type().IsRegular() && belongs(name) {
			if err := b.file(name); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}
