package ledger

import (
	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// A node looks many times a second for what it has to do. So a state also knows, by
// node, which of its values wait for it. That follows from the content, and is no
// part of it: with 10,000 keys at rest there is nothing to look at.

// waiting is a value that waits for nodes.
type waiting interface {
	value
	// waitsFor lists the nodes that have something to do about it now.
	waitsFor() []string
}

// waitsFor: a key that is ordered and not born waits for all its holders, and one that is
// imported for its owner, who opens the run.
func (v *Ordered) waitsFor() []string {
	if v.Key != (api.KeyID{}) || v.Order.Import != nil && v.Live.IsZero() {
		return nil
	}
	return v.Order.Holders
}

// anyone stands in the place of a node for what goes on, whoever is next.
const anyone = ""

// waitsFor: a run of a ceremony goes on until it is over.
func (v *Session) waitsFor() []string {
	if v.over() {
		return nil
	}
	return []string{anyone}
}

// waitsFor: the record of a named key waits for its holders' signatures. Of a key that was
// adopted there is none before its first reshare.
func (v *Key) waitsFor() []string {
	if v.Purpose == authority.PurposeRoot || v.Waits() {
		return nil
	}
	signed := map[string]bool{}
	for _, n := range v.Signed {
		signed[n] = true
	}
	var out []string
	for _, h := range v.Holders {
		if !signed[h] && v.IndexOf(h) != 0 {
			out = append(out, h)
		}
	}
	return out
}

// owings is what waits, by node and path.
type owings = iradix.Tree[value]

func owedPath(node, path string) []byte { return []byte(node + "\x00" + path) }

// await notes who has to do something about a value, in the place of the one before.
func (d *draft) await(path string, before, after value) {
	if w, is := before.(waiting); is {
		for _, n := range w.waitsFor() {
			d.owed.Delete(owedPath(n, path))
		}
	}
	if w, is := after.(waiting); is {
		for _, n := range w.waitsFor() {
			d.owed.Insert(owedPath(n, path), after)
		}
	}
}

func owed[V value](s *State, node, prefix string) []V {
	var out []V
	s.owed.Root().WalkPrefix(owedPath(node, prefix), func(_ []byte, v value) bool {
		out = append(out, v.(V))
		return false
	})
	return out
}

// OrdersOf lists the orders of keys that are not born and that name a node among the
// holders, by hash: of imports those that run.
func (s *State) OrdersOf(node string) []*Ordered { return owed[*Ordered](s, node, pathOrder) }

// Unsigned lists the keys whose records wait for the signature of a node, by id.
func (s *State) Unsigned(node string) []*Key { return owed[*Key](s, node, pathKey) }

// RunningSessions lists the runs of ceremonies that are not over, by id.
func (s *State) RunningSessions() []*Session { return owed[*Session](s, anyone, pathSession) }

// Running says whether a run of some ceremony is not over.
func (s *State) Running() bool { return s.anyOwed(anyone, pathSession) }

func (s *State) anyOwed(node, prefix string) (found bool) {
	s.owed.Root().WalkPrefix(owedPath(node, prefix), func([]byte, value) bool { found = true; return true })
	return found
}

// Bearing says whether a key is ordered and not born.
func (s *State) Bearing() bool {
	for _, n := range s.Roster() {
		if s.anyOwed(n.ID, pathOrder) {
			return true
		}
	}
	return false
}
