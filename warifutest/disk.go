package warifutest

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"warifu.dev/internal/disk"
	"warifu.dev/warifutest/schedule"
)

// platter is a node's disk: the real one, slowed or full for a while.
type platter struct {
	mu     sync.Mutex
	faults []*diskFault // guarded by mu
	holds  []*DiskHold  // guarded by mu
}

// DiskHold is a disk that does not come back from a change of some files.
type DiskHold struct {
	part string
	met  atomic.Uint64
	once sync.Once
	free chan struct{}
}

// HoldDisk makes every change of a file of a node whose path contains part wait,
// until it is released, or for ever if the node is crashed before.
func (c *Cluster) HoldDisk(id, part string) *DiskHold {
	h := &DiskHold{part: part, free: make(chan struct{})}
	p := &c.members[id].disk
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds = append(p.holds, h)
	return h
}

// Met is how many changes have waited.
func (h *DiskHold) Met() uint64 { return h.met.Load() }

// Release lets what waits go on; nothing waits any more. A second time does nothing.
func (h *DiskHold) Release() { h.once.Do(func() { close(h.free) }) }

// wait waits for every hold of a path, or until the node is gone.
func (p *platter) wait(path string, gone <-chan struct{}) {
	p.mu.Lock()
	holds := slices.Clone(p.holds)
	p.mu.Unlock()
	for _, h := range holds {
		select {
		case <-h.free:
			continue
		default:
		}
		if !strings.Contains(path, h.part) {
			continue
		}
		h.met.Add(1)
		select {
		case <-h.free:
		case <-gone:
		}
	}
}

type diskFault struct {
	slow time.Duration // of each sync; 0 for a full disk
	met  atomic.Uint64

	mu   sync.Mutex
	room map[string]int // writes for which removed files left room, by directory; guarded by mu
}

// takes says whether a full disk takes a change: what needs no room, and as many
// writes as files were removed beside the one written.
func (f *diskFault) takes(op disk.Op, path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := filepath.Dir(path)
	switch op {
	case disk.Remove:
		f.room[dir]++
	case disk.Create:
		return false
	case disk.Write:
		f.room[dir]--
		if f.room[dir] < 0 {
			f.room[dir] = 0
			return false
		}
	}
	return true
}

func (p *platter) spoil(f *diskFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
}

func (p *platter) mend(f *diskFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(o *diskFault) bool { return o == f })
}

// before is asked before each change.
func (p *platter) before(op disk.Op, path string) error {
	p.mu.Lock()
	faults := slices.Clone(p.faults)
	p.mu.Unlock()
	var wait time.Duration
	for _, f := range faults {
		switch {
		case f.slow == 0 && !f.takes(op, path):
			f.met.Add(1)
			return syscall.ENOSPC
		case f.slow > 0 && op == disk.Sync:
			f.met.Add(1)
			wait = max(wait, f.slow)
		}
	}
	if wait > 0 {
		time.Sleep(wait)
	}
	return nil
}

// before is the hook of one incarnation: a dead one changes nothing any more, also
// when it died while its disk was slow.
func (in *incarnation) before(p *platter) disk.Hook {
	return func(op disk.Op, path string) error {
		if in.dead.Load() {
			return syscall.EIO
		}
		p.wait(path, in.gone)
		if err := p.before(op, path); err != nil {
			return err
		}
		if in.dead.Load() {
			return syscall.EIO
		}
		return nil
	}
}

// spoilDisks makes disks slow or full. Where a full one met anything, its node is
// started again when there is room: what failed to sync is never synced again.
func (c *Cluster) spoilDisks(f schedule.Fault) schedule.Inflicted {
	faults := map[string]*diskFault{}
	for _, id := range f.Nodes {
		d := &diskFault{room: map[string]int{}}
		if f.Kind == schedule.SlowDisk {
			d.slow = f.Time
		}
		faults[id] = d
		c.members[id].disk.spoil(d)
	}
	return schedule.Inflicted{
		Fired: func() (n uint64) {
			for _, d := range faults {
				n += d.met.Load()
			}
			return n
		},
		Heal: func() (err error) {
			for _, id := range f.Nodes {
				d := faults[id]
				c.members[id].disk.mend(d)
				if f.Kind == schedule.SlowDisk || d.met.Load() == 0 {
					continue
				}
				if down := c.Crash(id); down == nil || errors.Is(down, ErrDown) {
					if again := c.Start(id); !errors.Is(again, ErrRuns) {
						err = errors.Join(err, again)
					}
				}
			}
			return err
		},
	}
}
