package agefile

import (
	"encoding/base64"
	"errors"
	"fmt"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// StanzaType is the first word of the stanza.
const StanzaType = "warifu"

// fileKeySize is the size of age's file key, in bytes.
const fileKeySize = 16

// maxArgument bounds the CONTEXT argument, in bytes: the largest context there is.
const maxArgument = (api.MaxContextPairs*(api.MaxContextKey+api.MaxContextValue+8) + 8) * 4 / 3

// ErrStanza is returned, wrapped, for a stanza of our type that is not as the
// package comment draws it.
var ErrStanza = errors.New("not a usable warifu stanza")

// Stanza is a parsed stanza. Nothing in it has been verified.
type Stanza struct {
	Context  api.Context
	Envelope []byte
}

// Parse reads an age stanza of the type [StanzaType]. Failures wrap [ErrStanza].
func Parse(s *age.Stanza) (Stanza, error) {
	if s.Type != StanzaType {
		return Stanza{}, fmt.Errorf("%w: its type is another", ErrStanza)
	}
	if len(s.Args) != 1 {
		return Stanza{}, fmt.Errorf("%w: %d arguments, it has one", ErrStanza, len(s.Args))
	}
	if len(s.Args[0]) > maxArgument {
		return Stanza{}, fmt.Errorf("%w: a context of %d bytes", ErrStanza, len(s.Args[0]))
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[0])
	if err != nil {
		return Stanza{}, fmt.Errorf("%w: its context: %w", ErrStanza, err)
	}
	var out Stanza
	if err := wire.Decode(b, &out.Context); err != nil {
		return Stanza{}, fmt.Errorf("%w: its context: %w", ErrStanza, err)
	}
	if err := out.Context.Check(); err != nil {
		return Stanza{}, fmt.Errorf("%w: %w", ErrStanza, err)
	}
	if _, _, err := client.NamedIn(s.Body); err != nil {
		return Stanza{}, fmt.Errorf("%w: %w", ErrStanza, err)
	}
	out.Envelope = s.Body
	// base64 skips line ends wherever they stand: only one spelling is ours.
	if out.Age().Args[0] != s.Args[0] {
		return Stanza{}, fmt.Errorf("%w: its context is not in its one spelling", ErrStanza)
	}
	return out, nil
}

// Age returns the stanza as age writes it.
func (s Stanza) Age() *age.Stanza {
	context := s.Context
	if context == nil {
		context = api.Context{}
	}
	return &age.Stanza{
		Type: StanzaType,
		Args: []string{base64.RawStdEncoding.EncodeToString(wire.Encode(context))},
		Body: s.Envelope,
	}
}
