package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Bounds of a backup.
const (
	maxFiles    = 1 << 20   // an audit of 200 million records, and its hashes
	maxSmall    = 16 << 20  // a file of the sealed store, or of the node's own
	maxOwn      = 64 << 20  // all of these: they are read into memory
	maxManifest = 256 << 20 // of maxFiles files
)

// format is the version of the manifest.
const format = 1

const manifestName = "MANIFEST.json"

// ErrBackup is returned, wrapped, for a file that is no backup, or not a whole one.
var ErrBackup = errors.New("not a whole backup of a node")

// ErrNoNode is returned, wrapped, for a directory that is not a node's.
var ErrNoNode = errors.New("not the directory of a node that has joined a cluster")

// Manifest is what a backup says of itself.
type Manifest struct {
	Format  int    `json:"format"`
	Node    string `json:"node"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"` // its id, in hexadecimal
	Genesis string `json:"genesis"` // hash of the document, in hexadecimal
	Made    int64  `json:"made_ms"` // Unix milliseconds, by the clock of who made it
	Files   []File `json:"files"`   // in the order of the archive
}

// File is one file of a backup.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Files of a node's directory, as package node and those below it name them.
const (
	genesisName  = "genesis"
	lineName     = "roster-line"
	configName   = "node.toml"
	identityName = "identity.sealed"
	chainName    = "chain"
	sealDir      = "seal"
	snapshotName = "raft/snapshot"
	auditDir     = "audit"
)

// belongs says whether a file may be in a backup, by its path below the node's directory:
// everything else there is the machine's own, or a promise that must not be forgotten.
func belongs(name string) bool {
	if !fs.ValidPath(name) || path.Clean(name) != name {
		return false
	}
	dir, base := path.Split(name)
	switch {
	case name == genesisName, name == lineName, name == configName, name == identityName, name == chainName, name == snapshotName:
		return true
	case dir == sealDir+"/":
		return strings.HasSuffix(base, ".sealed")
	case dir == auditDir+"/":
		return base == "checkpoint" || strings.HasPrefix(base, "records-") || strings.HasPrefix(base, "archived-")
	}
	return strings.HasPrefix(name, auditDir+"/tile/")
}

func refuse(sentence string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBackup, fmt.Errorf(sentence, args...))
}
