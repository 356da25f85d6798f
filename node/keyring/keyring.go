package keyring

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// Errors of a keyring.
var (
	// ErrNone means this node has no sealed root share yet.
	ErrNone = errors.New("keyring: this node has no root share")
	// ErrOpen means a file was altered, or belongs to another node, cluster or generation.
	ErrOpen = errors.New("keyring: it does not open: altered, or another node's")
	// ErrReadBack means a file reads differently from what was written.
	ErrReadBack = errors.New("keyring: what was written does not read back")
	// ErrAnother means that this node holds another share of the same key and epoch.
	ErrAnother = errors.New("keyring: there is another share of this key and epoch")
	// ErrLocked means that custodians have to open this seal, too.
	ErrLocked = errors.New("keyring: custodians have to open this seal")
	// ErrWiped means that this process has given the keyring up.
	ErrWiped = errors.New("keyring: it was wiped")
	// ErrFull means the keyring would be larger than what is read back.
	ErrFull = errors.New("keyring: too many shares")
)

// format is the version byte of both files.
const format = 1

// SaltSize is the length of s_g and of an endorsement key, in bytes.
const SaltSize = 32

// Config says whose keyring it is and what seals it; all but Disk and Unseal are required.
type Config struct {
	Dir     string // exists, mode 0700
	Cluster api.ClusterID
	Node    string
	Device  hsm.Device
	Rand    io.Reader
	Disk    disk.Hook // nil is the real disk alone
	// Unseal is the secret that custodians open the root share with; empty means that
	// the token alone does. A keyring does not keep it.
	Unseal secret.Bytes
	// Lock is what is public of the lock that Unseal opens. It is written beside what it
	// opens, so that whoever has to restore that asks nobody for it: see [LockOf].
	Lock []byte
	// Next is the generation that Unseal is for, when one is made; 0 is the one after
	// what is on disk.
	Next uint64

	write func(dir, name string, content []byte) error // for tests that break disks
}

// without is the configuration that a keyring keeps.
func (c Config) without() Config {
	c.Unseal, c.Next, c.Lock = secret.Bytes{}, 0, nil
	return c
}

func (c *Config) writeFile(name string, content []byte) error {
	if c.write != nil {
		return c.write(c.Dir, name, content)
	}
	return WriteFile(c.Disk, c.Dir, name, content)
}

// Root is a node's share of the cluster's root key.
type Root struct {
	Session api.Digest // it was born in
	Epoch   uint64
	Index   uint32
	Share   *group.Scalar
}

// Share is a node's share of a named key in one epoch.
type Share struct {
	Key         api.KeyID
	Version     uint32
	Epoch       uint64
	Session     api.Digest // that made it
	Opened      uint64     // the place of that session in the log
	Index       uint32
	Scalar      *group.Scalar // nil of a symmetric key
	Sets        *tprf.Share   // of a symmetric key, else nil
	Endorsement secret.Bytes  // key for endorsements, of this node and epoch
}

// Keyring is what is open of a node's newest generation. It is safe for concurrent
// use.
type Keyring struct {
	cfg Config

	erasing chan struct{} // has room for the one who makes a generation
	writing chan struct{} // has room for the one who writes files: readers do not wait for a disk
	torn    uint64        // a generation that may stand on disk and is not in use, or 0; owned by who writes

	mu         sync.RWMutex
	root       Root                     // replaced by who writes; guarded by mu
	generation uint64                   // replaced by who writes; guarded by mu
	key        secret.Bytes             // of the keyring file; replaced by who writes; guarded by mu
	shares     map[shareID]*Share       // replaced, never changed; guarded by mu
	loans      map[*Share]int           // what Borrow gave out, how often; guarded by mu
	leaving    map[*Share]chan struct{} // out of use and borrowed; closed when it is overwritten; guarded by mu
	asked      []*asked                 // erasures that wait for the next generation; guarded by mu
	wiped      bool                     // guarded by mu
}

// newKeyring is an open generation without shares, and its key.
func newKeyring(cfg Config, generation uint64, root Root) *Keyring {
	return &Keyring{
		cfg: cfg.without(), generation: generation, root: root,
		erasing: make(chan struct{}, 1), writing: make(chan struct{}, 1),
		shares: map[shareID]*Share{}, loans: map[*Share]int{}, leaving: map[*Share]chan struct{}{},
	}
}

type shareID struct {
	key     api.KeyID
	version uint32
	epoch   uint64
}

type rootFile struct {
	Format     uint32 `cbor:"1,keyasint"`
	Generation uint64 `cbor:"2,keyasint"`
	Epoch      uint64 `cbor:"3,keyasint"`
	Blob       []byte `cbor:"4,keyasint"`           // sealed by the token
	Locked     bool   `cbor:"5,keyasint,omitempty"` // under an unseal secret inside that
	Lock       []byte `cbor:"6,keyasint,omitempty"` // what is public of what opens that
}

type rootSecret struct {
	Session api.Digest `cbor:"1,keyasint"`
	Index   uint32     `cbor:"2,keyasint"`
	Share   []byte     `cbor:"3,keyasint"`
	Salt    []byte     `cbor:"4,keyasint"`
}

type sharesFile struct {
	Format uint32        `cbor:"1,keyasint"`
	Shares []shareSecret `cbor:"2,keyasint,omitempty"`
}

type shareSecret struct {
	Key         api.KeyID  `cbor:"1,keyasint"`
	Version     uint32     `cbor:"2,keyasint"`
	Epoch       uint64     `cbor:"3,keyasint"`
	Index       uint32     `cbor:"4,keyasint"`
	Scalar      []byte     `cbor:"5,keyasint,omitempty"`
	Endorsement []byte     `cbor:"6,keyasint"`
	Session     api.Digest `cbor:"7,keyasint"`
	Opened      uint64     `cbor:"8,keyasint,omitempty"`

	// Of a symmetric key, in the place of the scalar.
	T    int    `cbor:"9,keyasint,omitempty"`
	H    int    `cbor:"10,keyasint,omitempty"`
	Sets []byte `cbor:"11,keyasint,omitempty"` // 32 bytes each
}

// Newest returns the generation on disk that [Open] opens, or 0.
func Newest(cfg Config) (uint64, error) {
	all, err := generations(cfg.Dir)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// next is the generation to be made after that one.
func (c *Config) next(live uint64) (uint64, error) {
	if c.Next == 0 {
		return live + 1, nil
	}
	if c.Next <= live {
		return 0, fmt.Errorf("%w: a lock of generation %d, on disk is %d", ErrOpen, c.Next, live)
	}
	return c.Next, nil
}

// Create seals root as a new generation with an empty keyring, durably, reads
// it back, and then destroys every older generation: it serves births, after
// which no older root share can be of use. The keyring owns root.Share from then
// on.
func Create(cfg Config, root Root) (*Keyring, error) {
	live, err := Newest(cfg)
	if err != nil {
		return nil, err
	}
	g, err := cfg.next(live)
	if err != nil {
		return nil, err
	}
	k, err := raise(cfg, g, root, map[shareID]*Share{})
	if err != nil {
		return nil, err
	}
	if err := destroyOthers(cfg, g); err != nil {
		return nil, err
	}
	return k, nil
}

// raise makes generation g of a root share and these shares: a key of its own on the
// token, a fresh salt, both files, read back. Older generations stay as they are.
func raise(cfg Config, g uint64, root Root, shares map[shareID]*Share) (*Keyring, error) {
	if err := failpoint.Step("keyring/create-key", func() error { return createKey(cfg.Device, hsmLabel(g)) }); err != nil {
		return nil, fmt.Errorf("make the sealing key of generation %d: %w", g, err)
	}
	salt := make([]byte, SaltSize)
	defer clear(salt)
	if _, err := io.ReadFull(cfg.Rand, salt); err != nil {
		return nil, fmt.Errorf("draw the salt of generation %d: %w", g, err)
	}
	k := newKeyring(cfg, g, root)
	k.shares = shares
	var err error
	if k.key, err = deriveKey(cfg, root.Share, salt, g); err != nil {
		return nil, err
	}
	if err := failpoint.Step("keyring/write-kept", func() error { return k.writeShares(shares) }); err != nil {
		return nil, err
	}
	if err := failpoint.Step("keyring/write-root", func() error { return sealRoot(cfg, root, salt, g) }); err != nil {
		return nil, err
	}
	// From here, a crash recovers forward: Open finds generation g, and destroys
	// the older ones.
	var again *Keyring
	err = failpoint.Step("keyring/read-back", func() (err error) { again, err = openNewest(cfg); return err })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReadBack, err)
	}
	defer again.Wipe()
	if again.generation != g || !again.root.Share.Equal(root.Share) || again.root.Session != root.Session || !sameShares(again.shares, shares) {
		return nil, ErrReadBack
	}
	return k, nil
}

func sameShares(a, b map[shareID]*Share) bool {
	return maps.EqualFunc(a, b, func(x, y *Share) bool {
		return x.same(y) && x.Opened == y.Opened && x.Endorsement.Equal(y.Endorsement)
	})
}

// createKey makes a key that has sealed nothing yet. One of that label that is
// there was left by an attempt whose files never came to stand.
func createKey(dev hsm.Device, label string) error {
	err := dev.CreateKey(label)
	if !errors.Is(err, hsm.ErrKeyExists) {
		return err
	}
	if err := dev.DestroyKey(label); err != nil {
		return err
	}
	return dev.CreateKey(label)
}

// sealRoot writes the root share of generation g, with its salt, sealed by the token.
func sealRoot(cfg Config, root Root, salt []byte, g uint64) error {
	share := root.Share.Bytes()
	defer clear(share)
	plain := secret.New(wire.Encode(rootSecret{Session: root.Session, Index: root.Index, Share: share, Salt: salt}))
	defer plain.Wipe()
	locked := cfg.Unseal.Len() > 0
	if locked {
		under, err := lock(cfg, plain.Reveal(), root.Epoch, g)
		if err != nil {
			return err
		}
		plain = secret.New(under)
	}
	blob, err := cfg.Device.Seal(hsmLabel(g), plain, rootAAD(cfg, root.Epoch, g))
	if err != nil {
		return fmt.Errorf("seal the root share of generation %d: %w", g, err)
	}
	return cfg.writeFile(rootName(g), wire.Encode(rootFile{Format: format, Generation: g, Epoch: root.Epoch, Blob: blob, Locked: locked, Lock: cfg.Lock}))
}

// Open opens the newest generation, and destroys what a crash left behind: older
// ones (R10), and keys that never sealed one. [ErrNone] means there is none;
// [ErrOpen] that it was altered, or that this token is not the one that sealed it;
// [ErrLocked] that custodians have to open it, too.
func Open(cfg Config) (*Keyring, error) {
	k, err := openNewest(cfg)
	if err != nil {
		return nil, err
	}
	if err := destroyOthers(cfg, k.generation); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// destroyOthers destroys every generation older than g, and the HSM keys of those that
// were never written, or taken back: a crash, or a failure, came after the key.
func destroyOthers(cfg Config, g uint64) error {
	if err := destroyBefore(cfg, g); err != nil {
		return err
	}
	labels, err := cfg.Device.Labels()
	if err != nil {
		return fmt.Errorf("look for unused keys: %w", err)
	}
	for _, label := range labels {
		number, ok := strings.CutPrefix(label, hsmPrefix)
		if other, err := strconv.ParseUint(number, 10, 64); !ok || err != nil || other == g {
			continue
		}
		if err := failpoint.Step("keyring/destroy-unused", func() error { return destroyKey(cfg.Device, label) }); err != nil {
			return fmt.Errorf("destroy the unused key %s: %w", label, err)
		}
	}
	return removeStrays(cfg, g)
}

// removeStrays removes the shares of generations that never came to stand: what they
// are encrypted under is destroyed.
func removeStrays(cfg Config, g uint64) error {
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return fmt.Errorf("look for unused files: %w", err)
	}
	for _, e := range entries {
		number, isShares := strings.CutPrefix(strings.TrimSuffix(e.Name(), Unfinished), "keyring-")
		number, isSealed := strings.CutSuffix(number, ".sealed")
		if other, err := strconv.ParseUint(number, 10, 64); !isShares || !isSealed || err != nil || other == g {
			continue
		}
		if err := failpoint.Step("keyring/remove-unused", func() error { return RemoveFile(cfg.Disk, cfg.Dir, e.Name()) }); err != nil {
			return fmt.Errorf("remove the unused file %s: %w", e.Name(), err)
		}
	}
	return nil
}

// readRoot reads the sealed root share of a generation.
func readRoot(dir string, g uint64) (*rootFile, error) {
	raw, err := ReadFile(dir, rootName(g))
	if err != nil {
		return nil, err
	}
	f := &rootFile{}
	if err := wire.Decode(raw, f); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrOpen, rootName(g), err)
	}
	if f.Format != format || f.Generation != g {
		return nil, fmt.Errorf("%w: %s says format %d, generation %d", ErrOpen, rootName(g), f.Format, f.Generation)
	}
	return f, nil
}

func openNewest(cfg Config) (*Keyring, error) {
	all, err := generations(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNone
	}
	g := all[len(all)-1]
	f, err := readRoot(cfg.Dir, g)
	if err != nil {
		return nil, err
	}
	plain, err := cfg.Device.Open(hsmLabel(g), f.Blob, rootAAD(cfg, f.Epoch, g))
	switch {
	case errors.Is(err, hsm.ErrOpen), errors.Is(err, hsm.ErrNoKey):
		return nil, fmt.Errorf("%w: %s: %w", ErrOpen, rootName(g), err)
	case err != nil:
		return nil, fmt.Errorf("open the root share of generation %d: %w", g, err)
	}
	defer plain.Wipe()
	switch {
	case f.Locked && cfg.Unseal.Len() == 0:
		return nil, fmt.Errorf("%w: generation %d", ErrLocked, g)
	case f.Locked:
		under, err := unlock(cfg, plain.Reveal(), f.Epoch, g)
		if err != nil {
			return nil, err
		}
		plain = secret.New(under)
		defer plain.Wipe()
	}
	var s rootSecret
	if err := wire.Decode(plain.Reveal(), &s); err != nil {
		return nil, fmt.Errorf("%w: root share: %w", ErrOpen, err)
	}
	defer clear(s.Share)
	defer clear(s.Salt)
	share, err := group.DecodeNonZeroScalar(s.Share)
	if err != nil || len(s.Salt) != SaltSize {
		return nil, fmt.Errorf("%w: what %s seals is no root share and salt", ErrOpen, rootName(g))
	}
	k := newKeyring(cfg, g, Root{Session: s.Session, Epoch: f.Epoch, Index: s.Index, Share: share})
	if k.key, err = deriveKey(cfg, share, s.Salt, g); err != nil {
		return nil, err
	}
	if k.shares, err = k.readShares(); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// Generation is the number of this seal.
func (k *Keyring) Generation() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.generation
}

// Root is the node's share of the root key. After a [Keyring.Reroot] nobody may use what
// it gave out before: see [Keyring.UseRoot].
func (k *Keyring) Root() Root {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.root
}

// UseRoot shows the root share for as long as f runs. It is not overwritten meanwhile.
func (k *Keyring) UseRoot(f func(Root)) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	f(k.root)
}

// Share returns the share of a key in one epoch, if this node has it.
func (k *Keyring) Share(key api.KeyID, version uint32, epoch uint64) (*Share, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s, ok := k.shares[shareID{key, version, epoch}]
	return s, ok
}

// Borrow is [Keyring.Share] for as long as the caller uses the share: it is not
// overwritten before back was called, once.
func (k *Keyring) Borrow(key api.KeyID, version uint32, epoch uint64) (s *Share, back func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok = k.shares[shareID{key, version, epoch}]; !ok {
		return nil, nil, false
	}
	k.loans[s]++
	return s, func() { k.back(s) }, true
}

// back ends a loan; the last one of a share that is out of use overwrites it.
func (k *Keyring) back(s *Share) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.loans[s]--; k.loans[s] > 0 {
		return
	}
	delete(k.loans, s)
	if gone, is := k.leaving[s]; is {
		s.wipe()
		close(gone)
		delete(k.leaving, s)
	}
}

// leave overwrites a share that nobody can borrow any more: at once, or when it is
// back from those who have, and then it returns what is closed after that. mu is held.
func (k *Keyring) leave(s *Share) <-chan struct{} {
	if k.loans[s] == 0 {
		s.wipe()
		return nil
	}
	k.leaving[s] = make(chan struct{})
	return k.leaving[s]
}

// Count is the number of shares.
func (k *Keyring) Count() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.shares)
}

// Put is [Keyring.PutAll] of one share.
func (k *Keyring) Put(s Share) error { return k.PutAll([]Share{s}) }

// PutAll adds shares, each with a fresh endorsement key, and returns when all are
// durable and were read back; after an error none of them is here. Putting the same
// share again changes nothing; another share of the same key and epoch, or one of
// another session, is refused with [ErrAnother]. The keyring owns the scalars from
// then on.
func (k *Keyring) PutAll(list []Share) error {
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	if k.isWiped() {
		return ErrWiped
	}
	if err := k.settle(); err != nil {
		return err
	}
	next := maps.Clone(k.all())
	var added []shareID
	for _, s := range list {
		id := shareID{s.Key, s.Version, s.Epoch}
		if have := next[id]; have != nil {
			if have.same(&s) {
				continue
			}
			return fmt.Errorf("%w: %s, epoch %d", ErrAnother, s.Key, s.Epoch)
		}
		endorsement := make([]byte, SaltSize)
		if _, err := io.ReadFull(k.cfg.Rand, endorsement); err != nil {
			return fmt.Errorf("draw an endorsement key: %w", err)
		}
		s.Endorsement = secret.New(endorsement)
		next[id] = &s
		added = append(added, id)
	}
	if len(added) == 0 {
		return nil
	}
	if err := failpoint.Step("keyring/write-shares", func() error { return k.writeShares(next) }); err != nil {
		return err
	}
	back, err := k.readShares()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReadBack, err)
	}
	defer wipe(back)
	for _, id := range added {
		got, ok := back[id]
		if !ok || !got.same(next[id]) || !got.Endorsement.Equal(next[id].Endorsement) {
			return ErrReadBack
		}
	}
	if len(back) != len(next) {
		return ErrReadBack
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shares = next
	return nil
}

func (k *Keyring) all() map[shareID]*Share {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.shares
}

func (k *Keyring) isWiped() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.wiped
}

// Wipe overwrites what this process holds of the keyring, root share included:
// at once, or, of the shares that are borrowed, when the last is given back. It
// gives out nothing more, and nobody may use what [Keyring.Root] or
// [Keyring.Share] gave out before.
func (k *Keyring) Wipe() {
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wiped {
		return
	}
	k.wiped = true
	for _, s := range k.shares {
		k.leave(s)
	}
	k.shares = map[shareID]*Share{}
	k.root.Share.Wipe()
	k.key.Wipe()
}

func wipe(shares map[shareID]*Share) {
	for _, s := range shares {
		s.wipe()
	}
}

func (s *Share) wipe() {
	if s.Scalar != nil {
		s.Scalar.Wipe()
	}
	if s.Sets != nil {
		s.Sets.Wipe()
	}
	s.Endorsement.Wipe()
}

// same reports whether o is what the same session made.
func (s *Share) same(o *Share) bool {
	if s.Index != o.Index || s.Session != o.Session || (s.Sets == nil) != (o.Sets == nil) {
		return false
	}
	if s.Sets != nil {
		return s.Sets.Equal(o.Sets)
	}
	return s.Scalar.Equal(o.Scalar)
}

// encode is the share as it is written; the caller wipes it.
func (s *Share) encode() shareSecret {
	e := shareSecret{
		Key: s.Key, Version: s.Version, Epoch: s.Epoch, Index: s.Index,
		Endorsement: s.Endorsement.Reveal(), Session: s.Session, Opened: s.Opened,
	}
	if s.Sets == nil {
		e.Scalar = s.Scalar.Bytes()
		return e
	}
	p := s.Sets.Params()
	e.T, e.H, e.Sets = p.T, p.H, s.Sets.Bytes().Reveal()
	return e
}

// decode reads what encode has written, and wipes it.
func (e *shareSecret) decode() (*Share, error) {
	defer clear(e.Scalar)
	defer clear(e.Sets)
	s := &Share{
		Key: e.Key, Version: e.Version, Epoch: e.Epoch, Index: e.Index,
		Endorsement: secret.New(e.Endorsement), Session: e.Session, Opened: e.Opened,
	}
	if len(e.Endorsement) != SaltSize || (len(e.Scalar) == 0) == (len(e.Sets) == 0) {
		return nil, ErrOpen
	}
	var err error
	if len(e.Sets) == 0 {
		s.Scalar, err = group.DecodeNonZeroScalar(e.Scalar)
	} else {
		s.Sets, err = tprf.NewShare(sharing.Params{T: e.T, H: e.H}, sharing.Index(e.Index), secret.New(e.Sets))
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (k *Keyring) writeShares(shares map[shareID]*Share) error {
	f := sharesFile{Format: format}
	for _, s := range shares {
		f.Shares = append(f.Shares, s.encode())
	}
	defer func() {
		for _, s := range f.Shares {
			clear(s.Scalar)
			clear(s.Sets)
		}
	}()
	slices.SortFunc(f.Shares, func(a, b shareSecret) int {
		return cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Epoch, b.Epoch))
	})
	plain := wire.Encode(f)
	defer clear(plain)
	if len(plain) > maxFile-sealOverhead {
		return fmt.Errorf("%w: %d of them take %d bytes", ErrFull, len(f.Shares), len(plain))
	}
	aead, err := k.aead()
	if err != nil {
		return err
	}
	return k.cfg.writeFile(sharesName(k.generation), aead.Seal(nil, nil, plain, k.aad()))
}

// sealOverhead is nonce and tag of a keyring file, in bytes.
const sealOverhead = 12 + 16

func (k *Keyring) readShares() (map[shareID]*Share, error) {
	raw, err := ReadFile(k.cfg.Dir, sharesName(k.generation))
	if err != nil {
		return nil, err
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, raw, k.aad())
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrOpen, sharesName(k.generation))
	}
	defer clear(plain)
	var f sharesFile
	if err := wire.Decode(plain, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	if f.Format != format {
		return nil, fmt.Errorf("%w: format %d", ErrOpen, f.Format)
	}
	out := make(map[shareID]*Share, len(f.Shares))
	for _, e := range f.Shares {
		s, err := e.decode()
		id := shareID{e.Key, e.Version, e.Epoch}
		if err != nil || out[id] != nil {
			wipe(out)
			return nil, fmt.Errorf("%w: share of the key %s", ErrOpen, e.Key)
		}
		out[id] = s
	}
	return out, nil
}

func (k *Keyring) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keyring cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// aad binds the keyring file to cluster, node, kind (the tag), epoch and generation.
func (k *Keyring) aad() []byte {
	return tag.List(tag.KeyringBlob, k.cfg.Cluster[:], []byte(k.cfg.Node), tag.Uint64(k.root.Epoch), tag.Uint64(k.generation))
}

func deriveKey(cfg Config, root *group.Scalar, salt []byte, g uint64) (secret.Bytes, error) {
	ikm := root.Bytes()
	defer clear(ikm)
	info := tag.List(tag.KeyringKey, cfg.Cluster[:], []byte(cfg.Node), tag.Uint64(g))
	key, err := hkdf.Key(sha256.New, ikm, salt, string(info), 32)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("derive the keyring key: %w", err)
	}
	return secret.New(key), nil
}

func rootAAD(cfg Config, epoch, g uint64) []byte {
	return SealedAAD(cfg.Cluster, cfg.Node, "root", epoch, g, nil)
}

// SealedAAD is the associated data of every blob that a node has its token seal: it
// binds it to cluster, node, kind, epoch and generation, and to what else tells it
// from others of its kind. Where a kind has none of them, zero stands there.
func SealedAAD(cluster api.ClusterID, node, kind string, epoch, generation uint64, name []byte) []byte {
	return tag.List(tag.SealedBlob, cluster[:], []byte(node), []byte(kind), tag.Uint64(epoch), tag.Uint64(generation), name)
}

// destroyBefore destroys every generation older than g. It is done again at each
// start, so a crash in the middle of it is made good.
func destroyBefore(cfg Config, g uint64) error {
	all, err := generations(cfg.Dir)
	if err != nil {
		return err
	}
	for _, old := range all {
		if old >= g {
			break
		}
		if err := destroy(cfg, old); err != nil {
			return err
		}
	}
	return nil
}

// destroy makes generation g unreadable for ever, backups of its files included.
// The root file says that there is something left to do, so it goes last.
func destroy(cfg Config, g uint64) error {
	err := failpoint.Step("keyring/destroy-key", func() error { return destroyKey(cfg.Device, hsmLabel(g)) })
	if err != nil {
		return fmt.Errorf("destroy the sealing key of generation %d: %w", g, err)
	}
	return failpoint.Step("keyring/remove-files", func() error { return removeFiles(cfg, g) })
}

func destroyKey(dev hsm.Device, label string) error {
	if err := dev.DestroyKey(label); !errors.Is(err, hsm.ErrNoKey) {
		return err
	}
	return nil
}

func removeFiles(cfg Config, g uint64) error {
	for _, name := range []string{sharesName(g), rootName(g)} {
		if err := RemoveFile(cfg.Disk, cfg.Dir, name); err != nil {
			return fmt.Errorf("remove generation %d: %w", g, err)
		}
	}
	return syncDir(cfg.Disk, cfg.Dir)
}

const hsmPrefix = "root."

func hsmLabel(g uint64) string   { return hsmPrefix + strconv.FormatUint(g, 10) }
func rootName(g uint64) string   { return "root-" + strconv.FormatUint(g, 10) + ".sealed" }
func sharesName(g uint64) string { return "keyring-" + strconv.FormatUint(g, 10) + ".sealed" }

// generations lists those whose root share is on disk, ascending.
func generations(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for sealed root shares: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		s, isRoot := strings.CutPrefix(e.Name(), "root-")
		s, isSealed := strings.CutSuffix(s, ".sealed")
		if g, err := strconv.ParseUint(s, 10, 64); isRoot && isSealed && err == nil {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return out, nil
}
