package node

import (
	"path/filepath"
	"runtime/debug"
	"sort"
	"sync"
	"syscall"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/node/machine"
)

// Times of how fast the audit grows.
const (
	growthOver  = 7 * 24 * time.Hour // what counts: a week has its quiet days
	growthLeast = time.Hour          // less says nothing about a day
	growthKeep  = time.Minute        // it is looked up so often at most
)

// growth is how fast the audit grows, as it was last looked up.
type growth struct {
	mu     sync.Mutex
	looked time.Duration // guarded by mu
	perDay int64         // guarded by mu
}

// history is what growth reads of an audit.
type history interface {
	Room() audit.Room
	Archived() uint64
	Read(index uint64) (audit.Record, error)
}

// of is the bytes that the audit grows by in a day; 0 while nothing can be said.
func (g *growth) of(log history, now time.Time, boot time.Duration) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looked == 0 || boot-g.looked >= growthKeep {
		g.looked, g.perDay = boot, growing(log, now)
	}
	return g.perDay
}

// growing takes the records that are not archived: those of the last week, or all if
// they are younger.
func growing(log history, now time.Time) int64 {
	room, first := log.Room(), log.Archived()
	if room.Records <= first {
		return 0
	}
	count := room.Records - first
	at := func(i uint64) time.Duration {
		r, err := log.Read(first + i)
		if err != nil {
			return 0 // archived a moment ago, or damaged: it counts as young
		}
		return now.Sub(time.UnixMilli(r.Time))
	}
	from := uint64(sort.Search(int(count), func(i int) bool { return at(uint64(i)) <= growthOver }))
	if from == count {
		return 0 // nothing in a week
	}
	span := at(from)
	if span < growthLeast {
		return 0
	}
	bytes := float64(room.Bytes) * float64(count-from) / float64(count)
	return int64(bytes * float64(24*time.Hour) / float64(span))
}

// health is what this node says of its machine, for those who run the cluster.
func (n *Node) health() *api.HealthAnswer {
	s := n.consensus.Committed()
	a := &api.HealthAnswer{
		Node: n.cfg.Node, Time: n.now().UnixMilli(), Uptime: (n.boot() - n.began).Milliseconds(), Program: program(),
		AuditBytes: n.audit.Room().Bytes, AuditPerDay: n.growth.of(n.audit, n.now(), n.boot()), AuditReserve: n.cfg.AuditReserve,
		MemoryLocked: n.memoryLocked, ReceiveBuffer: n.receiveBuffer(),
	}
	if a.AuditReserve == 0 {
		a.AuditReserve = audit.DefaultReserve
	}
	if free, err := machine.Free(filepath.Join(n.dir, auditDir)); err == nil {
		a.DiskKnown, a.DiskFree = true, free
	}
	for _, m := range s.Roster() {
		if over := s.Unerased(m.ID, authority.MaxRetired); len(over) > 0 {
			if a.Unerased == nil {
				a.Unerased = map[string]uint32{}
			}
			a.Unerased[m.ID] = uint32(len(over))
		}
	}
	for _, k := range s.Keys() {
		name := k.Name
		if k.Purpose == authority.PurposeRoot {
			name = "the root key"
		}
		for _, node := range k.Struck {
			a.Struck = append(a.Struck, api.StruckHolder{Key: name, Node: node})
		}
		if len(a.Struck) >= maxStruckShown {
			break
		}
	}
	return a
}

// maxStruckShown bounds the list of holders without a share: who sees so many does not
// need the others to know what to do.
const maxStruckShown = 100

// receiveBuffer is the smaller receive buffer of this node's sockets; 0 when it is not
// known.
func (n *Node) receiveBuffer() int64 {
	var smallest int64
	for _, s := range n.sockets {
		c, is := s.(syscall.Conn)
		if !is {
			return 0
		}
		size, err := machine.ReceiveBuffer(c)
		if err != nil {
			return 0
		}
		if smallest == 0 || size < smallest {
			smallest = size
		}
	}
	return smallest
}

// program is the commit that this program was built from.
func program() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
