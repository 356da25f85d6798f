package node

import (
	"context"

	"warifu.dev/consensus/ledger"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
)

// erase makes the next generation of this node's keyring without the shares that drop
// names, and destroys the one before it: [keyring.Keyring.Erase]. The shares of ceremonies
// that came to nothing go with them. Several who ask at once get one generation.
func (s *secrets) erase(ctx context.Context, now *ledger.State, drop func(keyring.Held) bool) (keyring.Erasure, error) {
	state, ring := s.current()
	if !erases(state, ring) {
		return keyring.Erasure{}, errNotUnsealed
	}
	return ring.Erase(ctx, s.lock, func(h keyring.Held) bool { return drop(h) || outlived(now, h) })
}

// erases says whether this node can erase shares: its keyring is open. One that has no
// share of the root key's current epoch can as well: it is who leaves, and still has its
// shares of what the others have taken over.
func erases(state seal.State, ring *keyring.Keyring) bool {
	return ring != nil && (state == seal.Unsealed || state == seal.Stranded)
}

// abandoned says that the ceremony which made the share came to nothing. Of one that
// this state has not read of yet it says nothing: a node that catches up erases no share.
func abandoned(s *ledger.State, h keyring.Held) bool {
	if h.Opened == 0 || s.Position().Index < h.Opened {
		return false
	}
	if ses := s.Session(h.Session); ses != nil {
		_, is := ses.Board.Abandoned()
		return is
	}
	return true // it is over, and forgotten; whoever asks knows that it made no epoch
}
