package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listening is the process that listens at a TCP port of this machine. The kernel's
// tables name the socket by its inode (proc(5), /proc/net/tcp), and the links in
// /proc/PID/fd say who has it open. The first one found is taken: of a server with
// several processes that is the one it was started as, most likely.
func listening(port int) (int, error) {
	const listens = "0A"
	socket := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue // one without IPv6 has one table
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != listens {
				continue
			}
			_, at, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(at, 16, 16); err == nil && int(n) == port {
				socket = "socket:[" + f[9] + "]"
			}
		}
	}
	if socket == "" {
		return 0, fmt.Errorf("nobody listens at port %d", port)
	}
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	for _, path := range open {
		if to, err := os.Readlink(path); err == nil && to == socket {
			return strconv.Atoi(strings.Split(path, "/")[2])
		}
	}
	return 0, fmt.Errorf("the process that listens at port %d is another user's; name it by its id", port)
}
