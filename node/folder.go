package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"warifu.dev/authority"
	"warifu.dev/internal/disk"
	"warifu.dev/node/keyring"
)

const (
	// offerName is the file that custodians are brought.
	offerName = "offer"
	// pieceSuffix ends the name of what they hand over.
	pieceSuffix = ".piece"
	// folderTick is how often a folder is looked at.
	folderTick = 500 * time.Millisecond
	// maxPieceFiles bounds what is looked at in a folder in one run: sixteen custodians,
	// each of whom errs a few times.
	maxPieceFiles = 256
)

var errFolder = errors.New("the folder for pieces has more files than custodians need")

// Folder is a [Handing] by files: the offer is written into it, and whatever ends in
// .piece is taken from it. Who carries them needs to be nobody in particular: an offer is
// signed, and a piece is encrypted.
type Folder struct {
	Context context.Context // ends the waiting
	Dir     string
	Say     io.Writer // one line for each piece
	Disk    disk.Hook // nil is the real disk alone

	seen map[string]fs.FileInfo
}

// Offer implements [Handing]. It makes the folder if it is not there.
func (f *Folder) Offer(offer []byte) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	f.seen = map[string]fs.FileInfo{}
	if err := keyring.WriteFile(f.Disk, f.Dir, offerName, offer); err != nil {
		return err
	}
	fmt.Fprintf(f.Say, "custodians have to open seals: each runs warifu restore piece %s, and its file, which ends in %s, goes into %s\n",
		filepath.Join(f.Dir, offerName), pieceSuffix, f.Dir)
	return nil
}

// Next implements [Handing].
func (f *Folder) Next() ([]byte, string, error) {
	tick := time.NewTicker(folderTick)
	defer tick.Stop()
	for {
		b, name, err := f.look()
		if err != nil || name != "" {
			return b, name, err
		}
		select {
		case <-f.Context.Done():
			return nil, "", f.Context.Err()
		case <-tick.C:
		}
	}
}

// look reads a file that was not there as it is when it was looked at last; no name when
// there is none.
func (f *Folder) look() ([]byte, string, error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, "", err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), pieceSuffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if last := f.seen[e.Name()]; last != nil && last.Size() == info.Size() && last.ModTime().Equal(info.ModTime()) && os.SameFile(last, info) {
			continue
		}
		if f.seen[e.Name()] = info; len(f.seen) > maxPieceFiles {
			return nil, "", fmt.Errorf("%w: %d", errFolder, len(f.seen))
		}
		b, err := readPiece(filepath.Join(f.Dir, e.Name()))
		return b, e.Name(), err
	}
	return nil, "", nil
}

// readPiece reads no more than shows that a file is too long.
func readPiece(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read
	return io.ReadAll(io.LimitReader(file, authority.MaxRestorePieces+1))
}

// Took implements [Handing].
func (f *Folder) Took(from, waits string, err error) {
	says := waits
	if says == "" {
		says = "that is all that was needed"
	}
	if err != nil {
		says = err.Error() + "; " + says
	}
	fmt.Fprintf(f.Say, "%s: %s\n", from, strings.ReplaceAll(says, "\n", "; "))
}
