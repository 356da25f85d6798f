package warifutest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxTrace bounds the events kept: the last ones tell why.
const maxTrace = 20000

// trace is what happened, by simulated time: events of ours, and what the nodes
// log.
type trace struct {
	began time.Time

	installs atomic.Int64 // snapshots that took the place of a log, as the nodes say

	mu    sync.Mutex
	lines []string // guarded by mu
}

func (t *trace) add(format string, args ...any) {
	line := fmt.Sprintf("%9.3fs  %s", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == maxTrace {
		t.lines = append(t.lines[:0], t.lines[maxTrace/2:]...)
	}
	t.lines = append(t.lines, line)
}

// Write implements io.Writer for loggers: one line each.
func (t *trace) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("a snapshot has taken the place of the log")) {
		t.installs.Add(1)
	}
	t.add("%s", strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// logger makes a log whose lines go into the trace.
func (t *trace) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // the trace has its own
			}
			return a
		},
	}))
}
