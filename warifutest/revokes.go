package warifutest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// OpKind is what an [Op] does to its subject.
type OpKind string

// The operations on a subject. A refusal is none: it is always legal.
const (
	OpRevoke  OpKind = "revoke"
	OpLift    OpKind = "lift"
	OpRelease OpKind = "release"
)

// Never is the Return of an operation of which nobody knows whether it took effect:
// it may have at any time after its Call, or not at all.
const Never = math.MaxInt64

// Op is one operation on a subject, as clients saw it: from the first thing that was
// sent to the answer that said what became of it. Call and Return are readings of
// one clock that never shows the same twice.
type Op struct {
	Subject      string // histories of different subjects do not concern each other
	Kind         OpKind
	ID           string // of the revoke; of a release, for the report alone
	Call, Return int64
}

// denials is the state of one subject: the revokes that are in force, and those that
// were lifted, in the order in which that happened, each with its mark before it.
// It is a value: strings compare.
type denials string

const (
	inForce = "+"
	lifted  = "-"
	end     = ";"
)

func (d denials) has(mark, id string) bool { return strings.Contains(string(d), mark+id+end) }

// step is the whole specification. It is one-sided: nothing is said of when a
// request is released, and of when it is not only this. An id that was lifted is
// never taken again.
func (d denials) step(kind OpKind, id string) (denials, bool) {
	switch kind {
	case OpRevoke:
		if d.has(lifted, id) || d.has(inForce, id) {
			return d, true
		}
		return d + denials(inForce+id+end), true
	case OpLift:
		return denials(strings.ReplaceAll(string(d), inForce+id+end, "") + lifted + id + end), true
	case OpRelease:
		return d, !strings.Contains(string(d), inForce)
	}
	panic(fmt.Sprintf("warifutest: no such operation: %q", kind))
}

// revokeModel is denials for Porcupine.
var revokeModel = porcupine.Model{
	Init: func() any { return denials("") },
	Step: func(state, input, _ any) (bool, any) {
		op := input.(Op)
		next, legal := state.(denials).step(op.Kind, op.ID)
		return legal, next
	},
}

// CheckRevokes holds a history against what a revoke promises (P4): there must be an
// order of the operations of each subject, in keeping with what was over before
// what began, in which nothing is released while a revoke is in force (Herlihy and
// Wing 1990; the search is Porcupine's). It names the releases that nothing
// excuses.
//
// A revoke whose Return is Never, and one whose lift is under way, may or may not be
// in force. Of one subject, at most one revoke is neither lifted nor unknown at a
// time; with more, the releases named may be fewer than the search objects to.
func CheckRevokes(history []Op) (found []Violation) {
	by := map[string][]Op{}
	for _, op := range history {
		by[op.Subject] = append(by[op.Subject], op)
	}
	subjects := make([]string, 0, len(by))
	for s := range by {
		subjects = append(subjects, s)
	}
	slices.Sort(subjects)
	for _, s := range subjects {
		if porcupine.CheckOperations(revokeModel, operations(by[s])) {
			continue
		}
		named := inexcusable(by[s])
		for _, n := range named {
			found = append(found, Violation{Revoked, s + ": " + n})
		}
		if len(named) == 0 {
			found = append(found, Violation{Revoked, s + ": no order of what happened keeps the promise"})
		}
	}
	return found
}

// operations says the history of one subject to Porcupine. A lift that nobody waits
// for, and a revoke that may never have been, bind nothing: such a revoke is left
// out, since to be in force is all that it could do.
func operations(history []Op) (ops []porcupine.Operation) {
	for _, op := range history {
		if op.Kind == OpRevoke && op.Return == Never {
			continue
		}
		ops = append(ops, porcupine.Operation{Input: op, Call: op.Call, Return: op.Return})
	}
	return ops
}

// inexcusable lists, by comparing all with all, the releases that began when a
// revoke was done and were over before its lift began.
func inexcusable(history []Op) (named []string) {
	over := map[string]int64{} // when the first lift of an id began
	for _, op := range history {
		if op.Kind == OpLift {
			if at, is := over[op.ID]; !is || op.Call < at {
				over[op.ID] = op.Call
			}
		}
	}
	for _, r := range history {
		if r.Kind != OpRevoke || r.Return == Never {
			continue
		}
		until, is := over[r.ID]
		if !is {
			until = Never
		}
		for _, op := range history {
			if op.Kind == OpRelease && op.Call > r.Return && (op.Return < until || until == Never) {
				named = append(named, fmt.Sprintf("%s was released from %d to %d, the revoke %s was done at %d and is lifted from %d on", op.ID, op.Call, op.Return, r.ID, r.Return, until))
			}
		}
	}
	return named
}
