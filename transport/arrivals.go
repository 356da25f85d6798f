package transport

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxSources bounds the addresses that are counted in one second. Whoever comes when
// there are more is not told apart: the limits on all of them hold.
const maxSources = 4096

// arrivals counts what came in this second, by where it came from.
type arrivals struct {
	mu     sync.Mutex
	second int64                // guarded by mu
	counts map[netip.Prefix]int // guarded by mu
}

// count counts one more, and says whether the second has room for it.
func (a *arrivals) count(now time.Time, source netip.Prefix, most int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := now.Unix(); s != a.second || a.counts == nil {
		a.second, a.counts = s, map[netip.Prefix]int{}
	}
	n, known := a.counts[source]
	if !known && len(a.counts) >= maxSources {
		return true
	}
	a.counts[source] = n + 1
	return n < most
}

// sourceOf is the network that one machine is given: an IPv4 address, or 64 bits of
// IPv6.
func sourceOf(from net.Addr) (netip.Prefix, bool) {
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	a, bits := u.AddrPort().Addr().Unmap().WithZone(""), 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// turnedAwayPerSecond bounds the log lines about callers that are not let in: each
// comes from somebody who has no part here, and must not fill a disk with them.
const turnedAwayPerSecond = 10

// turnedAway logs callers that are not let in, and how many it left out.
type turnedAway struct {
	log *slog.Logger

	mu      sync.Mutex
	second  int64 // guarded by mu
	lines   int   // guarded by mu
	omitted int   // guarded by mu
}

func (t *turnedAway) note(now time.Time, message string, c *Caller, err error) {
	t.mu.Lock()
	if s := now.Unix(); s != t.second {
		t.second, t.lines = s, 0
	}
	if t.lines >= turnedAwayPerSecond {
		t.omitted++
		t.mu.Unlock()
		return
	}
	t.lines++
	omitted := t.omitted
	t.omitted = 0
	t.mu.Unlock()
	t.log.Info(message, "remote", c.Remote, "spki", c.SPKI.String(), "error", err, "omitted", omitted)
}
