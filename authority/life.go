package authority

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// KeyState is where a key stands in its life (NIST SP 800-57 Part 1 Rev. 5, section 7).
type KeyState string

// The states of a key.
const (
	PreActive   KeyState = "pre-active"  // born, and not to be used yet
	Active      KeyState = "active"      // wraps and unwraps
	Suspended   KeyState = "suspended"   // neither, for a while
	Deactivated KeyState = "deactivated" // unwraps what there is, and wraps nothing new
	Compromised KeyState = "compromised" // neither, for good
	Destroyed   KeyState = "destroyed"   // there is nothing left to do it with
)

// KeyStates lists every state, in the order of a life.
func KeyStates() []KeyState {
	return []KeyState{PreActive, Active, Suspended, Deactivated, Compromised, Destroyed}
}

// Wraps says whether new envelopes may be made under a key in this state.
func (s KeyState) Wraps() bool { return s == Active }

// Unwraps says whether holders release partials of a key in this state.
func (s KeyState) Unwraps() bool { return s == Active || s == Deactivated }

// Who makes a move: one of these, or several.
type Mover uint8

// The movers.
const (
	ByCustodians  Mover = 1 << iota // a change of the kind [KindKeyState]
	ByTime                          // its activation date, or its expiry
	ByDestruction                   // the erasure of its shares
)

// Move is one legal change of a key's state. Number is that of the transition in
// SP 800-57 Part 1, section 7.
type Move struct {
	Number   int
	From, To KeyState
	By       Mover
	Means    string
}

// moves is the one table of what may follow what. Where the standard leaves a choice:
// a suspended key stays suspended when it expires, since leaving that state would
// permit what custodians have forbidden.
var moves = []Move{
	{2, PreActive, Destroyed, ByDestruction, "it was never needed"},
	{3, PreActive, Compromised, ByCustodians, "its secrecy became doubtful before it was used"},
	{4, PreActive, Active, ByCustodians | ByTime, "its activation date has come, or custodians did not wait for it"},
	{5, Active, Destroyed, ByDestruction, "nothing under it is needed any more"},
	{6, Active, Compromised, ByCustodians, "its secrecy is lost, or doubtful beyond repair"},
	{7, Active, Suspended, ByCustodians, "something has to be looked into first"},
	{8, Active, Deactivated, ByCustodians | ByTime, "its time to protect is over: it has expired, or another took its place"},
	{9, Suspended, Destroyed, ByDestruction, "nothing under it is needed any more"},
	{10, Suspended, Active, ByCustodians, "what was looked into was nothing"},
	{11, Suspended, Compromised, ByCustodians, "what was looked into was true"},
	{12, Suspended, Deactivated, ByCustodians, "what is under it may be opened again, and nothing is added"},
	{13, Deactivated, Destroyed, ByDestruction, "nothing under it is needed any more"},
	{14, Deactivated, Compromised, ByCustodians, "its secrecy is lost, or doubtful beyond repair"},
	{15, Compromised, Destroyed, ByDestruction, "what is under it was moved to another key, or given up"},
}

// Moves lists every legal move.
func Moves() []Move { return append([]Move(nil), moves...) }

// MayMove says whether a key may go from one state to another, made by this mover.
func MayMove(from, to KeyState, by Mover) bool {
	for _, m := range moves {
		if m.From == from && m.To == to && m.By&by != 0 {
			return true
		}
	}
	return false
}

// MayFollow says whether a key that was in one state can be in another one now, by any
// number of moves.
func MayFollow(from, to KeyState) bool {
	seen := map[KeyState]bool{}
	var reach func(KeyState) bool
	reach = func(s KeyState) bool {
		if s == to {
			return true
		}
		seen[s] = true
		for _, m := range moves {
			if m.From == s && !seen[m.To] && reach(m.To) {
				return true
			}
		}
		return false
	}
	return reach(from)
}

// Widens says whether a move lets something be released that was not. It then acts
// only when it is committed, and names the change that it undoes.
func Widens(from, to KeyState) bool { return !from.Unwraps() && to.Unwraps() }

// Life is what the state of a key at some time is worked out of.
type Life struct {
	Put       KeyState // by the order, or by the last change of its state
	NotBefore int64    // a pre-active key is active from then on; 0: it waits for a change
	NotAfter  int64    // an active key is deactivated after that; 0: it does not expire
}

// At is the state when two clocks stand so, in Unix milliseconds: the earlier of them
// has to have reached an activation date, the later one an expiry.
func (l Life) At(a, b int64) KeyState {
	s := l.Put
	if s == PreActive && l.NotBefore != 0 && min(a, b) >= l.NotBefore {
		s = Active
	}
	if s == Active && l.NotAfter != 0 && max(a, b) > l.NotAfter {
		s = Deactivated
	}
	return s
}

// ErrKeyLife is returned, wrapped, for a change of a key's state, or of what is said of
// a key, that could never be taken.
var ErrKeyLife = errors.New("not a usable change of a key's state or labels")

// KeyStateChange puts a key into another state. What undoes a state that forbids
// releases names in its base the change that put it; any other has no base, so that
// nothing comes between a custodian and a key that must stop.
type KeyStateChange struct {
	Key api.KeyID `cbor:"1,keyasint"`
	To  KeyState  `cbor:"2,keyasint"`
}

// ParseKeyState reads a change of the kind [KindKeyState]. Whether the move is legal
// depends on where the key stands. Failures wrap [ErrKeyLife].
func ParseKeyState(c *Change) (*KeyStateChange, error) {
	var k KeyStateChange
	if c.Kind != KindKeyState {
		return nil, fmt.Errorf("%w: a change of the kind %q is none", ErrKeyLife, c.Kind)
	}
	if err := wire.Decode(c.Body, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
	}
	switch k.To {
	case Active, Deactivated:
	case Suspended, Compromised:
		if !c.Base.IsZero() {
			return nil, fmt.Errorf("%w: what stops a key replaces nothing", ErrKeyLife)
		}
	default:
		return nil, fmt.Errorf("%w: custodians do not put a key into the state %.20q", ErrKeyLife, k.To)
	}
	if k.Key == (api.KeyID{}) {
		return nil, fmt.Errorf("%w: it names no key", ErrKeyLife)
	}
	return &k, nil
}

// Bounds of what is said of a key: each decision reads it.
const (
	MaxLabels     = 16  // as many as pairs of a context
	MaxLabelName  = 64  // bytes
	MaxLabelValue = 128 // bytes
	MaxOwner      = 128 // bytes: a person, a team, an address
)

// KeyLabels is what custodians say of a key, all of it: it replaces what they said
// before. Policies see the labels.
type KeyLabels struct {
	Key      api.KeyID         `cbor:"1,keyasint"`
	Owner    string            `cbor:"2,keyasint,omitempty"`
	Labels   map[string]string `cbor:"3,keyasint,omitempty"`
	NotAfter int64             `cbor:"4,keyasint,omitempty"` // Unix milliseconds; 0: it does not expire
}

// ParseKeyLabels reads a change of the kind [KindKeyLabels]. Failures wrap [ErrKeyLife].
func ParseKeyLabels(c *Change) (*KeyLabels, error) {
	var k KeyLabels
	if c.Kind != KindKeyLabels {
		return nil, fmt.Errorf("%w: a change of the kind %q is none", ErrKeyLife, c.Kind)
	}
	if err := wire.Decode(c.Body, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
	}
	return &k, k.Check()
}

// Check holds what is said of a key against its bounds. Failures wrap [ErrKeyLife].
func (k *KeyLabels) Check() error {
	if k.Key == (api.KeyID{}) {
		return fmt.Errorf("%w: it names no key", ErrKeyLife)
	}
	return k.checkWords()
}

// checkWords holds what is said against its bounds, of whatever key it is said.
func (k *KeyLabels) checkWords() error {
	switch {
	case len(k.Owner) > MaxOwner || !printable(k.Owner):
		return fmt.Errorf("%w: an owner is printable text of at most %d bytes", ErrKeyLife, MaxOwner)
	case len(k.Labels) > MaxLabels:
		return fmt.Errorf("%w: %d labels, at most %d", ErrKeyLife, len(k.Labels), MaxLabels)
	case k.NotAfter < 0:
		return fmt.Errorf("%w: it expires before time began", ErrKeyLife)
	}
	for name, value := range k.Labels {
		if name == "" || len(name) > MaxLabelName || !printable(name) || strings.Contains(name, "=") {
			return fmt.Errorf("%w: a label's name is printable text of 1 to %d bytes without =", ErrKeyLife, MaxLabelName)
		}
		if len(value) > MaxLabelValue || !printable(value) {
			return fmt.Errorf("%w: a label's value is printable text of at most %d bytes", ErrKeyLife, MaxLabelValue)
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
