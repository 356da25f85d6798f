package bench

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// Noticed hears what clients warn of: a holder that gave a false partial is set aside by
// the client, and the data key is right all the same; but a cluster in which that happens
// is not one to be measured. It is a [slog.Handler].
type Noticed struct {
	*noticed
	attrs []slog.Attr
}

type noticed struct {
	mu    sync.Mutex
	count int      // guarded by mu
	first []string // guarded by mu; at most maxNoticed
}

const maxNoticed = 8 // warnings that are kept in words

// NewNoticed has heard nothing yet.
func NewNoticed() *Noticed { return &Noticed{noticed: &noticed{}} }

// Enabled says that warnings are heard, and what is worse.
func (n *Noticed) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle counts one.
func (n *Noticed) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	for _, a := range n.attrs {
		fmt.Fprintf(&b, " %s", a)
	}
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s", a); return true })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	if len(n.first) < maxNoticed {
		n.first = append(n.first, b.String())
	}
	return nil
}

// WithAttrs is of [slog.Handler].
func (n *Noticed) WithAttrs(more []slog.Attr) slog.Handler {
	return &Noticed{n.noticed, append(n.attrs[:len(n.attrs):len(n.attrs)], more...)}
}

// WithGroup is of [slog.Handler]; a group's name is not kept.
func (n *Noticed) WithGroup(string) slog.Handler { return n }

// Warnings are how many there were, and the first in words.
func (n *Noticed) Warnings() (int, []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count, append([]string(nil), n.first...)
}
