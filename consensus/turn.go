package consensus

import "sync"

// turn is a lock that is held while a disk writes. Who waits for it waits on a
// channel: in a simulation (testing/synctest) time passes meanwhile, which it does
// not while somebody waits for a sync.Mutex, and a simulated slow disk is one that
// waits for time to pass. The zero value is unlocked.
type turn struct {
	once sync.Once
	held chan struct{} // of room 1
}

func (t *turn) Lock() {
	t.once.Do(func() { t.held = make(chan struct{}, 1) })
	t.held <- struct{}{}
}

func (t *turn) Unlock() { <-t.held }
