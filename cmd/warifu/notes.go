package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// notes has what the client library logs stand on stderr as the lines of this program do.
func (a *app) notes() *slog.Logger { return slog.New(&noteHandler{app: a, one: new(sync.Mutex)}) }

// noteHandler writes a sentence, and the pairs that belong to it in brackets.
type noteHandler struct {
	app   *app
	one   *sync.Mutex // a line at a time
	pairs []slog.Attr
}

// Enabled leaves out what nobody has to do anything about.
func (h *noteHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle writes one line.
func (h *noteHandler) Handle(_ context.Context, r slog.Record) error {
	var pairs []string
	add := func(at slog.Attr) bool {
		pairs = append(pairs, at.Key+" "+oneLine(at.Value.String()))
		return true
	}
	for _, at := range h.pairs {
		add(at)
	}
	r.Attrs(add)
	line := "warifu: " + oneLine(r.Message)
	if len(pairs) > 0 {
		line += " (" + strings.Join(pairs, ", ") + ")"
	}
	h.one.Lock()
	defer h.one.Unlock()
	_, err := fmt.Fprintln(h.app.errs, line)
	return err
}

// WithAttrs adds pairs to every line.
func (h *noteHandler) WithAttrs(more []slog.Attr) slog.Handler {
	return &noteHandler{app: h.app, one: h.one, pairs: append(h.pairs[:len(h.pairs):len(h.pairs)], more...)}
}

// WithGroup is not used by the client library, and changes nothing.
func (h *noteHandler) WithGroup(string) slog.Handler { return h }
