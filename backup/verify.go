package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// Verify reads a backup to its end, and returns its manifest: every file that it lists is
// there, with its length and sum, and nothing else is; its genesis document is signed, and
// is that of the cluster and the node which it names. Every refusal wraps [ErrBackup],
// but errors of reading r.
func Verify(r io.Reader) (*Manifest, error) {
	m, _, err := Read(r)
	return m, err
}

// Read is [Verify], and returns what is the node's own and in its sealed store, by path
// below its directory: all but the snapshot and the audit.
func Read(r io.Reader) (*Manifest, map[string][]byte, error) {
	broken := &reading{r: r}
	own := map[string][]byte{}
	m, err := verify(tar.NewReader(broken), own)
	if broken.err != nil {
		return nil, nil, broken.err
	}
	if err != nil {
		return nil, nil, err
	}
	return m, own, nil
}

// reading keeps the errors of the disk apart from those of the archive.
type reading struct {
	r   io.Reader
	err error
}

// Read implements [io.Reader].
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// verify reads the archive, and puts into own what is small in it.
func verify(t *tar.Reader, own map[string][]byte) (*Manifest, error) {
	var files []File
	seen := map[string]bool{}
	total := int64(0) // of what is small
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, refuse("it ends before its manifest: it was cut off")
		}
		if err != nil {
			return nil, refuse("%w", err)
		}
		if h.Name == manifestName {
			return manifest(t, h, files, own)
		}
		switch {
		case h.Typeflag != tar.TypeReg || !belongs(h.Name):
			return nil, refuse("%.200q does not belong in one", h.Name)
		case seen[h.Name]:
			return nil, refuse("%s is there twice", h.Name)
		case len(files) >= maxFiles:
			return nil, refuse("it has over %d files", maxFiles)
		}
		small := h.Name != snapshotName && !strings.HasPrefix(h.Name, auditDir+"/")
		if small {
			if total += h.Size; h.Size > maxSmall || total > maxOwn {
				return nil, refuse("%s has %d bytes", h.Name, h.Size)
			}
		}
		seen[h.Name] = true
		sum := sha256.New()
		var kept bytes.Buffer
		to := io.Writer(sum)
		if small {
			to = io.MultiWriter(sum, &kept)
		}
		n, err := io.Copy(to, t)
		if err != nil {
			return nil, refuse("%s: %w", h.Name, err)
		}
		if small {
			own[h.Name] = kept.Bytes()
		}
		files = append(files, File{h.Name, n, hex.EncodeToString(sum.Sum(nil))})
	}
}

// manifest holds what was read against what the manifest lists.
func manifest(t *tar.Reader, h *tar.Header, files []File, own map[string][]byte) (*Manifest, error) {
	if h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return nil, refuse("its manifest has %d bytes", h.Size)
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return nil, refuse("its manifest: %w", err)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, refuse("its manifest: %w", err)
	}
	if m.Format != format {
		return nil, refuse("its format is %d, known is %d", m.Format, format)
	}
	for i := range max(len(files), len(m.Files)) {
		switch {
		case i >= len(files):
			return nil, refuse("%.200q is missing", m.Files[i].Path)
		case i >= len(m.Files) || m.Files[i].Path != files[i].Path:
			return nil, refuse("%s is not where the manifest has it, or not listed", files[i].Path)
		case m.Files[i] != files[i]:
			return nil, refuse("%s was altered", files[i].Path)
		}
	}
	var said Manifest
	if err := said.identify(own[genesisName], own[lineName]); err != nil {
		return nil, refuse("%w", err)
	}
	if said.Node != m.Node || said.Region != m.Region || said.Cluster != m.Cluster || said.Genesis != m.Genesis {
		return nil, refuse("it names %s of the cluster %s, and its files are of %s of %s", m.Node, m.Cluster, said.Node, said.Cluster)
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return nil, refuse("something follows its manifest")
	}
	return &m, nil
}
