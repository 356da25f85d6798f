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
	next int // to look at, after the one that this process chose last; guarded by mu
)

// Listen opens a socket on a port of host that is free now. A process that chooses
// faster than the clock goes on from its last choice.
func Listen(host string) (net.PacketConn, error) {
	mu.Lock()
	defer mu.Unlock()
	var last error
	begin := int(time.Now().UnixMilli() / 10 * 2 % count)
	if ahead := (next - begin + count) % count; ahead < count/2 {
		begin = next
	}
	for i := range tries {
		at := (begin + i) % count
		socket, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(First+at)))
		if err == nil {
			next = (at + 1) % count
			return socket, nil
		}
		if last = err; !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("choose a free port: %w", last)
}
