package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"warifu.dev/internal/tag"
)

// Bounds of a context: it is read by every node, and policies speak about it.
const (
	MaxContextPairs = 16
	MaxContextKey   = 128  // bytes
	MaxContextValue = 1024 // bytes
)

// ErrContext is returned, wrapped, for a context outside its bounds.
var ErrContext = errors.New("the context is not usable")

// Context is the caller's key-value pairs bound into an envelope (what AWS
// calls an encryption context). It is authenticated, and it is not secret.
type Context map[string]string

// Check holds c against its bounds; failures wrap [ErrContext].
func (c Context) Check() error {
	if len(c) > MaxContextPairs {
		return fmt.Errorf("%w: %d pairs, at most %d", ErrContext, len(c), MaxContextPairs)
	}
	for k, v := range c {
		switch {
		case k == "" || len(k) > MaxContextKey:
			return fmt.Errorf("%w: a key has 1 to %d bytes", ErrContext, MaxContextKey)
		case len(v) > MaxContextValue:
			return fmt.Errorf("%w: the value of %q has %d bytes, at most %d", ErrContext, k, len(v), MaxContextValue)
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return fmt.Errorf("%w: %q is not UTF-8", ErrContext, k)
		}
	}
	return nil
}

// Keys returns the keys in their canonical order, by bytes.
func (c Context) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Canonical returns the bytes that labels bind: the pairs sorted by key, bytes
// as given, each length-prefixed.
func (c Context) Canonical() []byte {
	parts := make([][]byte, 0, 2*len(c))
	for _, k := range c.Keys() {
		parts = append(parts, []byte(k), []byte(c[k]))
	}
	return tag.List(tag.Context, parts...)
}

// ParseContext reads pairs of the form key=value. A key given twice is refused,
// never overwritten.
func ParseContext(pairs []string) (Context, error) {
	c := Context{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("%w: %q is not of the form key=value", ErrContext, abbreviate(p))
		}
		if _, twice := c[k]; twice {
			return nil, fmt.Errorf("%w: the key %q is given twice", ErrContext, abbreviate(k))
		}
		c[k] = v
	}
	return c, c.Check()
}
