package consensus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
)

// The file of the denies is two slots, written in turn, and records after them:
//
//	slot at 0 and at 4096: magic 8 | length of all records that are durable 8 | SHA-256 of that 32
//	record: keep or drop 1 | length of the entry 4 | id 32 | entry | sum 32
//
// A record's sum is SHA-256 over the sum of the record before it and the record.
// Numbers are big endian.
const (
	deniesName   = "denies"
	deniesMagic  = "wrfdeny1"
	deniesSlot   = 8 + 8 + sha256.Size
	deniesPage   = 4096 // what a disk writes at once, or a multiple of it
	deniesStart  = 2 * deniesPage
	recordHead   = 1 + 4 + 32
	recordFrame  = recordHead + sha256.Size
	recordKeep   = byte(1)
	recordDrop   = byte(2)
	deniesSparse = 1 << 20 // from this size on the file is written anew when most of it is dropped
)

// Bounds of the denies that a node keeps. Each was verified before it is kept, so
// only those who may deny can fill the set.
const (
	// maxDeny is the longest entry that is kept: twice the largest that custodians can sign.
	maxDeny = 8 << 10
	// maxDenies is how many are kept at once. When there are more, those that are
	// committed make room: what is committed, the floor keeps.
	maxDenies = 4096
	// maxDeniesOfOne is how many of one name are kept that no state has: each has to be
	// lifted, and the first already denies everything. One custodian may be enough to
	// sign a seal, and must not fill the set with them.
	maxDeniesOfOne = 16
)

// Reasons why an entry that was handed over is not kept.
var (
	// ErrNoDeny means that the entry denies nothing: it is of another kind, not
	// signed by those who may, expired, or does not decode.
	ErrNoDeny = errors.New("consensus: the entry denies nothing")
	// ErrDenyEnough means that as many entries that deny the same are kept as may be.
	ErrDenyEnough = errors.New("consensus: as many entries as are kept deny the same")
	// ErrDenyLifted means that a committed entry has lifted it.
	ErrDenyLifted = errors.New("consensus: the deny was lifted, and is never taken again")
)

// Standing is what a state says of the id of a deny.
type Standing int

// The standings of a deny.
const (
	Absent Standing = iota // the state has not heard of it
	Taken                  // the state has it in its content
	Lifted                 // it was lifted, for ever
)

// Kept is what a node denies beside its states: entries by id. It is never changed.
type Kept struct{ Entries map[api.Digest][]byte }

type deny struct {
	id    api.Digest
	entry []byte
}

// denies is the small durable set of entries that deny, whatever becomes of the
// log: truncation, an installed snapshot and compaction leave it alone. An entry is
// in it before the node answers for having seen it, and leaves it when a committed
// entry has lifted it.
type denies struct {
	kept atomic.Pointer[Kept]      // read by everybody
	name func(entry []byte) string // what an entry denies; nil: nothing has a name

	mu    turn
	hook  disk.Hook
	path  string
	file  *os.File     // guarded by mu
	page  int64        // slot to write next; guarded by mu
	end   int64        // of the records, from deniesStart; guarded by mu
	live  int64        // bytes of the records that are kept; guarded by mu
	sum   api.Digest   // of the last record; guarded by mu
	order []api.Digest // oldest first; guarded by mu
	dead  error        // why nothing is written any more; guarded by mu
}

// openDenies reads the denies of a directory. Only a node that has applied nothing
// yet may have none.
func openDenies(hook disk.Hook, dir string, fresh bool) (*denies, error) {
	d := &denies{hook: hook, path: filepath.Join(dir, deniesName)}
	d.kept.Store(&Kept{})
	file, err := os.OpenFile(d.path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist) && fresh:
		err = failpoint.Step("consensus/make-denies", d.rewrite)
	case err == nil:
		d.file = file
		err = d.load()
	}
	if err != nil {
		if d.file != nil {
			err = errors.Join(err, d.file.Close())
		}
		return nil, fmt.Errorf("%w: %w", ErrDenies, err)
	}
	return d, nil
}

func (d *denies) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.file.Close()
}

// load reads every record that checks. They must reach as far as a slot says;
// what stands behind them is a write that was cut short, and never answered for.
func (d *denies) load() error {
	b, err := io.ReadAll(io.LimitReader(d.file, deniesStart+maxFile+1))
	if err != nil {
		return err
	}
	records, durable, page, err := readSlots(b)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	d.page = 1 - page
	list, end, sum := readRecords(records)
	if uint64(end) < durable {
		return fmt.Errorf("%s is damaged: its records check for %d bytes of %d", d.path, end, durable)
	}
	kept := &Kept{Entries: map[api.Digest][]byte{}}
	for _, r := range list {
		if r.entry == nil {
			delete(kept.Entries, r.id)
			d.order = slices.DeleteFunc(d.order, func(id api.Digest) bool { return id == r.id })
		} else if kept.Entries[r.id] == nil {
			kept.Entries[r.id] = r.entry
			d.order = append(d.order, r.id)
		}
	}
	for _, entry := range kept.Entries {
		d.live += int64(recordFrame + len(entry))
	}
	d.end, d.sum = int64(end), sum
	d.kept.Store(kept)
	return d.file.Truncate(deniesStart + d.end)
}

// maxFile is the largest file that rewriting lets come about, and one batch more.
const maxFile = 2*maxDenies*(recordFrame+maxDeny) + deniesSparse

func readSlots(b []byte) (records []byte, durable uint64, page int64, err error) {
	if len(b) < deniesStart || len(b) > deniesStart+maxFile {
		return nil, 0, 0, fmt.Errorf("damaged: %d bytes", len(b))
	}
	page = -1
	for p := range int64(2) {
		s := b[p*deniesPage:][:deniesSlot]
		n := binary.BigEndian.Uint64(s[8:])
		if bytes.Equal(s, deniesHead(n)) && (page < 0 || n >= durable) {
			durable, page = n, p
		}
	}
	if page < 0 {
		return nil, 0, 0, errors.New("damaged: neither slot checks")
	}
	return b[deniesStart:], durable, page, nil
}

func deniesHead(durable uint64) []byte {
	b := append(make([]byte, 0, deniesSlot), deniesMagic...)
	b = binary.BigEndian.AppendUint64(b, durable)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// readRecords reads records while they check, and says where they end. An entry of
// nil is a drop.
func readRecords(b []byte) (list []deny, end int, sum api.Digest) {
	for len(b)-end >= recordFrame {
		r := b[end:]
		n := binary.BigEndian.Uint32(r[1:])
		if n > maxDeny || len(r) < recordFrame+int(n) || r[0] != recordKeep && r[0] != recordDrop || (r[0] == recordKeep) != (n > 0) {
			break
		}
		size := recordFrame + int(n)
		next := recordSum(sum, r[:size-sha256.Size])
		if !bytes.Equal(next[:], r[size-sha256.Size:size]) {
			break
		}
		one := deny{}
		copy(one.id[:], r[5:])
		if n > 0 {
			one.entry = bytes.Clone(r[recordHead : size-sha256.Size])
		}
		list, end, sum = append(list, one), end+size, next
	}
	return list, end, sum
}

func recordSum(before api.Digest, record []byte) api.Digest {
	h := sha256.New()
	h.Write(before[:])
	h.Write(record)
	return api.Digest(h.Sum(nil))
}

func appendRecord(b []byte, before api.Digest, r deny) ([]byte, api.Digest) {
	start, kind := len(b), recordKeep
	if r.entry == nil {
		kind = recordDrop
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.entry)))
	b = append(b, r.id[:]...)
	b = append(b, r.entry...)
	sum := recordSum(before, b[start:])
	return append(b, sum[:]...), sum
}

// keep adds entries that deny, and returns when they are durable. They act before:
// a refusal is always legal. What standing says was lifted is left out, and so is
// what denies what maxDeniesOfOne others deny already. After an error nothing is
// written any more, and the node must not serve.
func (d *denies) keep(list []deny, standing func(api.Digest) Standing) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := maps.Clone(d.kept.Load().Entries)
	if kept == nil {
		kept = map[api.Digest][]byte{}
	}
	var records []deny
	enough := d.enough(kept, standing)
	for _, one := range list {
		if kept[one.id] == nil && standing(one.id) != Lifted && !enough(one.entry) {
			one.entry = bytes.Clone(one.entry)
			records = append(records, one)
			kept[one.id] = one.entry
		}
	}
	if len(records) == 0 || d.dead != nil {
		return d.dead
	}
	var dropped []deny
	if over := len(kept) - maxDenies; over > 0 {
		for _, id := range d.order {
			if len(dropped) < over && standing(id) == Taken {
				dropped = append(dropped, deny{id: id})
				delete(kept, id)
			}
		}
		if len(dropped) < over {
			d.dead = fmt.Errorf("%w: %d are kept, and no state has them", ErrDenies, maxDenies)
			return d.dead
		}
	}
	d.kept.Store(&Kept{Entries: kept})
	return d.write(append(records, dropped...))
}

// enough counts the entries that are kept and that no state has, by what they deny,
// and then each that is asked about: it says whether there is no room for that one.
func (d *denies) enough(kept map[api.Digest][]byte, standing func(api.Digest) Standing) func(entry []byte) bool {
	if d.name == nil {
		return func([]byte) bool { return false }
	}
	count := map[string]int{}
	for id, entry := range kept {
		if standing(id) == Absent {
			count[d.name(entry)]++
		}
	}
	return func(entry []byte) bool {
		name := d.name(entry)
		count[name]++
		return count[name] > maxDeniesOfOne
	}
}

// settle drops what standing says was lifted. Of no denies it drops none.
func (d *denies) settle(standing func(api.Digest) Standing) error {
	if d == nil || len(d.kept.Load().Entries) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var dropped []deny
	for _, id := range d.order {
		if standing(id) == Lifted {
			dropped = append(dropped, deny{id: id})
		}
	}
	if len(dropped) == 0 || d.dead != nil {
		return d.dead
	}
	kept := maps.Clone(d.kept.Load().Entries)
	for _, one := range dropped {
		delete(kept, one.id)
	}
	d.kept.Store(&Kept{Entries: kept})
	return d.write(dropped)
}

// holds says whether an entry is kept, and durable.
func (d *denies) holds(id api.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead == nil && d.kept.Load().Entries[id] != nil
}

// write makes records durable: first they, then the slot that says so. d.mu is held.
func (d *denies) write(records []deny) error {
	old := d.kept.Load().Entries
	var b []byte
	sum := d.sum
	for _, r := range records {
		b, sum = appendRecord(b, sum, r)
		if r.entry != nil {
			d.order = append(d.order, r.id)
		}
	}
	d.order = slices.DeleteFunc(d.order, func(id api.Digest) bool { return old[id] == nil })
	d.live = 0
	for _, entry := range old {
		d.live += int64(recordFrame + len(entry))
	}
	err := error(nil)
	if size := d.end + int64(len(b)); size > deniesSparse && size > 2*d.live {
		err = failpoint.Step("consensus/rewrite-denies", d.rewrite)
	} else if err = failpoint.Step("consensus/append-denies", func() error { return d.put(b, deniesStart+d.end) }); err == nil {
		d.end, d.sum = size, sum
		err = failpoint.Step("consensus/count-denies", func() error { return d.put(deniesHead(uint64(size)), d.page*deniesPage) })
		d.page = 1 - d.page
	}
	if err != nil {
		d.dead = fmt.Errorf("%w: %w", ErrDenies, err)
	}
	return d.dead
}

func (d *denies) put(b []byte, at int64) error {
	if err := d.hook.Before(disk.Write, d.path); err != nil {
		return err
	}
	if _, err := d.file.WriteAt(b, at); err != nil {
		return err
	}
	if err := d.hook.Before(disk.Sync, d.path); err != nil {
		return err
	}
	return d.file.Sync()
}

// rewrite makes a file of what is kept, and takes it into use. d.mu is held, or
// nobody else knows of d yet.
func (d *denies) rewrite() error {
	kept := d.kept.Load().Entries
	var b []byte
	var sum api.Digest
	for _, id := range d.order {
		b, sum = appendRecord(b, sum, deny{id: id, entry: kept[id]})
	}
	if err := d.hook.Before(disk.Create, d.path); err != nil {
		return err
	}
	file, err := os.OpenFile(d.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	head := make([]byte, deniesStart)
	copy(head, deniesHead(uint64(len(b))))
	_, err = file.Write(append(head, b...))
	if err := errors.Join(err, file.Sync()); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := d.hook.Before(disk.Rename, d.path); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := os.Rename(d.path+".new", d.path); err != nil {
		return errors.Join(err, file.Close())
	}
	if d.file != nil {
		err = d.file.Close()
	}
	d.file, d.page, d.end, d.live, d.sum = file, 1, int64(len(b)), int64(len(b)), sum
	parent, openErr := os.Open(filepath.Dir(d.path))
	if err := errors.Join(err, openErr); err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
