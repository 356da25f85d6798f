package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
)

// ErrNoCustodians means that in this cluster custodians open no seals.
var ErrNoCustodians = errors.New("seals are not opened by custodians in this cluster")

// takeLock keeps what opens a node's next seal, beside what opens the one on its
// disk. A node speaks of its own seals alone; the lock of the one it says is live is
// never replaced, or a crash between lock and seal would shut the node for ever.
func (s *State) takeLock(d *draft, node string, b *authority.Lock) error {
	if s.genesis.Unseal != authority.UnsealCustodians {
		return ErrNoCustodians
	}
	var l unseal.Lock
	if err := wire.Decode(b.Lock, &l); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	if err := l.Check(len(s.genesis.Custodians), int(s.genesis.UnsealCount)); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	if b.Generation <= b.Live {
		return fmt.Errorf("%w: a lock for generation %d, live is %d", ErrOutOfTurn, b.Generation, b.Live)
	}
	next := &Locks{}
	if b.Live > 0 {
		live := s.Lock(node, b.Live)
		if live == nil {
			return fmt.Errorf("%w: generation %d of %s has no lock", ErrOutOfTurn, b.Live, node)
		}
		next.Locks = append(next.Locks, GenerationLock{Generation: b.Live, Lock: *live})
	}
	next.Locks = append(next.Locks, GenerationLock{Generation: b.Generation, Lock: l})
	d.put(pathLock+node, next)
	return nil
}
