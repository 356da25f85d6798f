package auditor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// Files of an export.
const (
	genesisFile  = "genesis"
	manifestFile = "export"
	anchorsFile  = "anchors"
	keysFile     = "keys"
	chainFile    = "chain"
	nodesDir     = "nodes"
)

const (
	dirMode  = 0o700 // records say who asked for what, and why
	fileMode = 0o600
	// maxFile bounds the files that are read whole: a thousand keys with their
	// orders and signatures take 8 MiB.
	maxFile = 32 << 20
	// maxLines bounds the anchors and the keys of one export.
	maxLines = 4096
	// maxState bounds why a node was not taken whole.
	maxState = 4 << 10
)

var (
	// ErrNoExport: the folder holds no export.
	ErrNoExport = errors.New("not an export of audits")
	// ErrOtherExport: the folder holds an export of another cluster, or of another time.
	ErrOtherExport = errors.New("the folder holds another export")
	// ErrGenesis: the genesis document of the export is not the one whose hash was given.
	ErrGenesis = errors.New("the export's genesis document is another")
)

// Manifest is what was asked for and what became of it. It is nobody's word: what
// it says is held against what the folder holds.
type Manifest struct {
	Format  uint32         `cbor:"1,keyasint"`
	Genesis api.Digest     `cbor:"2,keyasint"`
	Since   int64          `cbor:"3,keyasint,omitempty"` // Unix milliseconds; 0: everything
	Taken   int64          `cbor:"4,keyasint"`           // when it was last gone on with, by the clock of that machine
	Nodes   []ManifestNode `cbor:"5,keyasint,omitempty"` // as they came to the roster
}

// ManifestNode is what became of one node.
type ManifestNode struct {
	Node    string `cbor:"1,keyasint"`
	From    uint64 `cbor:"2,keyasint"`           // records from here on were asked for, all of them
	Located bool   `cbor:"3,keyasint,omitempty"` // From was looked for, and found
	State   string `cbor:"4,keyasint,omitempty"` // why it is not whole; empty: it is
	Size    uint64 `cbor:"5,keyasint"`           // records under its checkpoint, here or by their hashes
	Left    bool   `cbor:"6,keyasint,omitempty"` // it is on the roster no more, and was not asked
}

const manifestFormat = 1

// ParseManifest reads a manifest. Failures wrap [ErrNoExport].
func ParseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := wire.Decode(b, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrNoExport, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%w: its manifest has the format %d, this program reads %d", ErrNoExport, m.Format, manifestFormat)
	}
	if len(m.Nodes) > authority.MaxNodes+authority.MaxSuccession {
		return nil, fmt.Errorf("%w: its manifest names %d nodes", ErrNoExport, len(m.Nodes))
	}
	seen := map[string]bool{}
	for _, n := range m.Nodes {
		if err := api.CheckName(n.Node); err != nil || seen[n.Node] || len(n.State) > maxState {
			return nil, fmt.Errorf("%w: its manifest is out of bounds", ErrNoExport)
		}
		seen[n.Node] = true
	}
	return &m, nil
}

// node is the line of one node, which is made if need be.
func (m *Manifest) node(id string) *ManifestNode {
	for i := range m.Nodes {
		if m.Nodes[i].Node == id {
			return &m.Nodes[i]
		}
	}
	m.Nodes = append(m.Nodes, ManifestNode{Node: id, State: notTaken})
	return &m.Nodes[len(m.Nodes)-1]
}

const notTaken = "not taken yet"

// Incomplete lists the nodes on the roster that were not taken whole: once more, and they
// may be.
func (m *Manifest) Incomplete() []ManifestNode { return m.without(false) }

// Lost lists those that have left it and were not taken whole before.
func (m *Manifest) Lost() []ManifestNode { return m.without(true) }

func (m *Manifest) without(left bool) []ManifestNode {
	var out []ManifestNode
	for _, n := range m.Nodes {
		if n.State != "" && n.Left == left {
			out = append(out, n)
		}
	}
	return out
}

func nodeDir(dir, node string) string { return filepath.Join(dir, nodesDir, node) }

// read reads a file of an export whole.
func read(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%w: %s has more than %d MiB", ErrNoExport, name, maxFile>>20)
	}
	return b, err
}

// write replaces a file of an export. A crash leaves the old one or the new one.
func write(dir, name string, b []byte) error {
	place := filepath.Join(dir, name)
	f, err := os.OpenFile(place+".next", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(place+".next", place)
}

// readManifest reads the manifest of an export that must be there.
func readManifest(dir string) (*Manifest, error) {
	b, err := read(dir, manifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNoExport, dir, manifestFile)
	}
	if err != nil {
		return nil, err
	}
	return ParseManifest(b)
}

// IsExport says whether a folder looks like an export.
func IsExport(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, manifestFile))
	return err == nil
}

// ParseLines reads what [FormatLines] wrote. Failures wrap [ErrNoExport].
func ParseLines(b []byte) ([][]byte, error) {
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(b) == 0 {
		return nil, nil
	}
	if len(lines) > maxLines {
		return nil, fmt.Errorf("%w: more than %d lines", ErrNoExport, maxLines)
	}
	var out [][]byte
	for i, line := range lines {
		one, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(one) == 0 || base64.StdEncoding.EncodeToString(one) != line { // the decoder overlooks carriage returns
			return nil, fmt.Errorf("%w: line %d is not base64", ErrNoExport, i+1)
		}
		out = append(out, one)
	}
	return out, nil
}

// FormatLines writes each as a line of base64, as warifu audit anchors does.
func FormatLines(list [][]byte) []byte {
	var b bytes.Buffer
	for _, one := range list {
		b.WriteString(base64.StdEncoding.EncodeToString(one))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// readLines reads such a file; none is none.
func readLines(dir, name string) ([][]byte, error) {
	b, err := read(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := ParseLines(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// Origin is the first line of a node's checkpoints.
func Origin(g *authority.Genesis, node string) string {
	return "warifu/" + g.Cluster.String()[:16] + "/" + node
}
