package home

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/client"
)

// maxRecords bounds how many kept records are looked at for a name: as many as a
// client holds in memory.
const maxRecords = 4096

// RecordPath is where the record of a key is kept.
func (h *Home) RecordPath(id api.KeyID) string {
	return filepath.Join(h.Dir, RecordsDir, id.String())
}

// Record returns the key of a record that was kept, or an [fs.ErrNotExist].
func (h *Home) Record(id api.KeyID) (*client.Key, error) {
	b, err := Read(h.RecordPath(id))
	if err != nil {
		return nil, err
	}
	return h.believe(id, b)
}

// RecordOf is [Home.Record] by the name in the key's order, or by its id of 64
// hexadecimal digits. A file that is not believed is as good as none, and so are
// two keys of one name.
func (h *Home) RecordOf(nameOrID string) (*client.Key, error) {
	if id, err := api.ParseDigest(nameOrID); err == nil {
		return h.Record(api.KeyID(id))
	}
	if err := api.CheckName(nameOrID); err != nil {
		return nil, err
	}
	names, err := h.kept()
	if err != nil {
		return nil, err
	}
	var found *client.Key
	for _, id := range names {
		b, err := Read(h.RecordPath(id))
		if err != nil || !bytes.Contains(b, []byte(nameOrID)) {
			continue // the order inside has the name as it is
		}
		k, err := h.believe(id, b)
		switch {
		case err != nil || k.Name() != nameOrID:
		case found != nil:
			return nil, fmt.Errorf("two keys are called %s in %s: %w", nameOrID, h.Dir, fs.ErrNotExist)
		default:
			found = k
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no record of the key %s is kept in %s: %w", nameOrID, h.Dir, fs.ErrNotExist)
	}
	return found, nil
}

// kept lists the keys whose records seem to be here.
func (h *Home) kept() ([]api.KeyID, error) {
	d, err := os.Open(filepath.Join(h.Dir, RecordsDir))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxRecords)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var ids []api.KeyID
	for _, name := range names {
		if id, err := api.ParseDigest(name); err == nil {
			ids = append(ids, api.KeyID(id))
		}
	}
	return ids, nil
}

// believe reads a record that was kept under this id.
func (h *Home) believe(id api.KeyID, b []byte) (*client.Key, error) {
	k, err := client.ParseKey(h.Genesis, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.RecordPath(id), err)
	}
	if k.ID() != id {
		return nil, fmt.Errorf("%s is %w, %s", h.RecordPath(id), ErrOtherKey, k.ID())
	}
	return h.Recall(k)
}

// LifePath is where what custodians have said of a key is kept, beside its record.
func (h *Home) LifePath(id api.KeyID) string { return h.RecordPath(id) + ".life" }

// Recall is the key with what is kept of its state, if anything is.
func (h *Home) Recall(k *client.Key) (*client.Key, error) {
	b, err := Read(h.LifePath(k.ID()))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := k.With(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.LifePath(k.ID()), err)
	}
	return known, nil
}
