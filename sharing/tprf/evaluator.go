package tprf

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"

	"warifu.dev/internal/secret"
)

// Evaluator evaluates the function of some sets of one holder at one input after the
// other. The keys are scheduled once, which is a third of the work for an input. It knows
// as much as the share does, never prints, and belongs to one goroutine, for the items of
// one request.
type Evaluator struct {
	macs []hash.Hash // by the place in the sets
	used bool        // each of them, and so to be reset
	last Value
}

// Evaluator begins to evaluate the function of each of these sets.
func (s *Share) Evaluator(sets []Set) (*Evaluator, error) {
	e := &Evaluator{macs: make([]hash.Hash, len(sets))}
	for k, set := range sets {
		key, err := s.key(set)
		if err != nil {
			return nil, err
		}
		e.macs[k] = hmac.New(sha256.New, key.Reveal())
	}
	return e, nil
}

// Values are the values of the sets at x, in the order of the sets.
func (e *Evaluator) Values(x Input) []Value {
	out := make([]Value, len(e.macs))
	for k := range e.macs {
		out[k] = *e.value(k, x)
	}
	e.used = true
	return out
}

// Sum is the XOR of the values of the sets at x.
func (e *Evaluator) Sum(x Input) (sum Value) {
	for k := range e.macs {
		sum = sum.XOR(*e.value(k, x))
	}
	e.used = true
	return sum
}

// value is that of one set, until the next is asked for.
func (e *Evaluator) value(k int, x Input) *Value {
	mac := e.macs[k]
	if e.used {
		mac.Reset()
	}
	mac.Write(x.bytes)
	mac.Sum(e.last[:0])
	return &e.last
}

// String implements [fmt.Stringer].
func (e Evaluator) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (e Evaluator) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (e Evaluator) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }
