// Package ports chooses UDP ports that a node can keep.
//
// Port 0 asks the system for any, and it gives one of those that every outgoing
// socket is also given: when a node restarts, somebody's query may sit on it, and the
// node cannot come back. So the choice is made below all such ranges: 32768 to 60999
// is Linux's, 49152 to 65535 is that of RFC 6335.
//
// A node that was made holds no port until it runs. So the choice goes round with the
// clock, two ports each hundredth of a second: nodes that are made on one machine one
// after the other get ports that differ, where any two drawn at random may be the same.
package ports

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// First and Last bound the ports that are chosen.
const (
	First = 20000
	Last  = 32767
)

// tries is how many ports are looked at, one after the other.
const tries = 200

// count is of the ports that may be chosen.
const count = Last - First + 1

var (
	mu   sync.Mutex
	last = none // that this process chose, from First; guarded by mu
)

const none = -1

// Listen opens a socket on a port of host that is free now. A process that chooses
// faster than the clock goes on from its last choice.
func Listen(host string) (net.PacketConn, error) {
	mu.Lock()
	defer mu.Unlock()
	var failed error
	begin := beginAt(int(time.Now().UnixMilli()/10*2%count), last)
	for i := range tries {
		at := (begin + i) % count
		socket, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(First+at)))
		if err == nil {
			last = at
			return socket, nil
		}
		if failed = err; !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("choose a free port: %w", failed)
}

// beginAt is where the search begins: at the clock, or after the last choice when that
// is ahead of it.
func beginAt(clock, last int) int {
	if last == none {
		return clock
	}
	if next := (last + 1) % count; (next-clock+count)%count < count/2 {
		return next
	}
	return clock
}
