package keyring

import (
	"context"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing/group"
)

// ErrTorn means that an erasure failed half-way and its generation could not be taken
// back: nothing is put into this one, which a restart may not find.
var ErrTorn = errors.New("keyring: an erasure failed half-way: start the node again, or erase again")

// Held names a share that is in a keyring.
type Held struct {
	Key     api.KeyID
	Version uint32
	Epoch   uint64
	Session api.Digest // that made it
	Opened  uint64     // the place of that session in the log
}

// Erasure is what a node can say of the generation that it destroyed.
type Erasure struct {
	Generation uint64 // no blob of it, or of an older one, opens any more
	Label      string // of the key that the token destroyed
	Serial     string // of the token
}

// Holds says whether there is a share here that which names.
func (k *Keyring) Holds(which func(Held) bool) bool {
	for _, s := range k.all() {
		if which(Held{Key: s.Key, Version: s.Version, Epoch: s.Epoch, Session: s.Session, Opened: s.Opened}) {
			return true
		}
	}
	return false
}

// asked is one call of [Keyring.Erase] until a generation answers it.
type asked struct {
	drop func(Held) bool
	root func(Held) bool // the share that takes the place of the root share, or nil
	done chan struct{}   // closed when the rest stands
	what Erasure
	gone []<-chan struct{} // of shares that are on loan
	err  error
}

// Lock is what a seal that custodians open is written with.
type Lock struct {
	Generation uint64
	Unseal     secret.Bytes // opens it
	Public     []byte       // stays beside the seal
}

// Locking makes the lock of a seal that is to be written.
type Locking func() (Lock, error)

// Locked is the configuration for a seal that custodians open: the caller wipes its
// Unseal.
func (c Config) Locked(by Locking) (Config, error) {
	l, err := by()
	if err != nil {
		return c, err
	}
	c.Next, c.Unseal, c.Lock = l.Generation, l.Unseal, l.Public
	return c, nil
}

// Erase makes the next generation without the shares that drop names, and destroys
// this one with every backup of it. What is not named stays: a share that drop does not
// know is kept. Calls that wait at the same time become one generation. Shares are
// borrowed meanwhile, also those that go, until the new generation stands.
//
// unseal makes the lock of a generation after this one; nil means that the token alone opens the next one. Nothing else waits for it.
//
// When Erase returns nil, the shares are on this node's disk no more, nor in any
// backup of it, nor in this process, and the HSM key of the old generation is
// destroyed. After an error some of it may have happened, this keyring goes on, and
// the same call again makes good what is left: it destroys another generation, and
// with it what is older. A crash leaves the old generation or the new one; [Open]
// finds which.
func (k *Keyring) Erase(ctx context.Context, unseal Locking, drop func(Held) bool) (Erasure, error) {
	return k.erase(ctx, unseal, &asked{drop: drop})
}

// Reroot is [Keyring.Erase], and the share that root names is from then on the root
// share: what it was kept as goes, and so does the root share before. It takes no other
// share out.
func (k *Keyring) Reroot(ctx context.Context, unseal Locking, root func(Held) bool) (Erasure, error) {
	return k.erase(ctx, unseal, &asked{drop: func(Held) bool { return false }, root: root})
}

func (k *Keyring) erase(ctx context.Context, unseal Locking, a *asked) (Erasure, error) {
	a.done = make(chan struct{})
	k.mu.Lock()
	k.asked = append(k.asked, a)
	k.mu.Unlock()
	k.erasing <- struct{}{}
	select {
	case <-a.done: // by another call
	default:
		k.eraseAsked(unseal)
	}
	<-k.erasing
	if a.err != nil {
		return Erasure{}, a.err
	}
	for _, gone := range a.gone {
		select {
		case <-gone:
		case <-ctx.Done():
			return Erasure{}, fmt.Errorf("wait until an erased share is back: %w", ctx.Err())
		}
	}
	return a.what, nil
}

// eraseAsked makes one generation for all who ask.
func (k *Keyring) eraseAsked(unseal Locking) {
	cfg := k.cfg
	var err error
	if unseal != nil {
		if err = k.settleAlone(); err == nil { // before a lock of the generation after it is made
			if cfg, err = cfg.Locked(unseal); err != nil {
				err = fmt.Errorf("lock the next generation: %w", err)
			}
		}
		defer cfg.Unseal.Wipe()
	}
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	k.mu.Lock()
	all := k.asked
	k.asked = nil
	k.mu.Unlock()
	var what Erasure
	var gone []<-chan struct{}
	if err == nil {
		what, gone, err = k.next(cfg, all)
	}
	for _, a := range all {
		a.what, a.gone, a.err = what, gone, err
		close(a.done)
	}
}

// next replaces this generation by one without what was asked to go.
func (k *Keyring) next(cfg Config, all []*asked) (Erasure, []<-chan struct{}, error) {
	if k.isWiped() {
		return Erasure{}, nil, ErrWiped
	}
	if err := k.settle(); err != nil {
		return Erasure{}, nil, err
	}
	kept := map[shareID]*Share{}
	var going []*Share
	root := k.root
	for id, s := range k.all() {
		h := Held{Key: s.Key, Version: s.Version, Epoch: s.Epoch, Session: s.Session, Opened: s.Opened}
		if roots(all, h) {
			root = Root{Session: s.Session, Epoch: s.Epoch, Index: s.Index, Share: s.Scalar.Add(group.SmallScalar(0))}
		}
		if roots(all, h) || drops(all, h) {
			going = append(going, s)
		} else {
			kept[id] = s
		}
	}
	old := k.generation
	g, err := cfg.next(old)
	if err != nil {
		return Erasure{}, nil, err
	}
	k.torn = g
	raised, err := raise(cfg, g, root, kept)
	if err != nil {
		// This generation is whole, and goes on if the other can be taken back.
		return Erasure{}, nil, errors.Join(err, k.settle())
	}
	k.torn = 0
	gone := k.adopt(raised, going)
	if err := destroyOthers(cfg, g); err != nil {
		return Erasure{}, nil, err
	}
	return Erasure{Generation: old, Label: hsmLabel(old), Serial: cfg.Device.Serial()}, gone, nil
}

func roots(all []*asked, h Held) bool {
	for _, a := range all {
		if a.root != nil && a.root(h) {
			return true
		}
	}
	return false
}

func drops(all []*asked, h Held) bool {
	for _, a := range all {
		if a.drop(h) {
			return true
		}
	}
	return false
}

// adopt goes on as the generation that was raised from this one. It returns what is
// closed when those who had borrowed a share that goes have brought it back.
func (k *Keyring) adopt(raised *Keyring, going []*Share) (gone []<-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key.Wipe()
	if raised.root.Share != k.root.Share {
		k.root.Share.Wipe()
		k.root = raised.root
	}
	k.generation, k.key, k.shares = raised.generation, raised.key, raised.shares
	for _, s := range going {
		if back := k.leave(s); back != nil {
			gone = append(gone, back)
		}
	}
	return gone
}

// settle takes back a generation that an erasure left half-way: it may stand on disk,
// and [Open] would find it instead of this one, without what is put into this one from
// now on. Who writes calls it.
func (k *Keyring) settle() error {
	if k.torn == 0 {
		return nil
	}
	// The file that makes it a generation goes first, and durably.
	err := RemoveFile(k.cfg.Disk, k.cfg.Dir, rootName(k.torn))
	if err == nil {
		err = syncDir(k.cfg.Disk, k.cfg.Dir)
	}
	if err == nil {
		err = RemoveFile(k.cfg.Disk, k.cfg.Dir, sharesName(k.torn))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTorn, err)
	}
	k.torn = 0
	return nil
}

func (k *Keyring) settleAlone() error {
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	return k.settle()
}
