package keyring

import (
	"bytes"
	"cmp"
	"slices"
)

// LockOf returns which generation is the newest in a directory, whether custodians open
// it, and what is public of its lock: that is empty where the program that wrote the seal
// did not keep it. It needs no token, and believes the file. [ErrNone] means that there is
// no generation.
func LockOf(dir string) (generation uint64, locked bool, public []byte, err error) {
	all, err := generations(dir)
	if err != nil {
		return 0, false, nil, err
	}
	if len(all) == 0 {
		return 0, false, nil, ErrNone
	}
	f, err := readRoot(dir, all[len(all)-1])
	if err != nil {
		return 0, false, nil, err
	}
	return f.Generation, f.Locked, f.Lock, nil
}

// Peek opens the newest generation of a copy of a directory, such as one out of a backup,
// and destroys nothing: [Open] would take what the token has made since for what a crash
// left behind. What it returns is for reading; nothing is to be put into it or erased
// from it. Errors are those of [Open]; [ErrOpen] with hsm.ErrNoKey means that the
// generation was destroyed, and nothing opens it any more.
func Peek(cfg Config) (*Keyring, error) { return openNewest(cfg) }

// Shares lists the shares that are in the keyring, by key, version and epoch.
func (k *Keyring) Shares() []Held {
	var out []Held
	for _, s := range k.all() {
		out = append(out, Held{Key: s.Key, Version: s.Version, Epoch: s.Epoch, Session: s.Session, Opened: s.Opened})
	}
	slices.SortFunc(out, func(a, b Held) int {
		return cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Epoch, b.Epoch))
	})
	return out
}
