package dkg

import "fmt"

// Phase is where a ceremony stands. They follow each other in this order; any
// but the last two may instead end in [PhaseAbandoned].
type Phase uint8

// The phases.
const (
	PhaseJoin      Phase = 1
	PhaseCommit    Phase = 2
	PhaseDeal      Phase = 3
	PhaseVerdict   Phase = 4
	PhaseConfirm   Phase = 5
	PhaseDone      Phase = 6 // activated: the key may be used
	PhaseAbandoned Phase = 7
)

// String implements [fmt.Stringer].
func (p Phase) String() string {
	switch p {
	case PhaseJoin:
		return "join"
	case PhaseCommit:
		return "commit"
	case PhaseDeal:
		return "deal"
	case PhaseVerdict:
		return "verdict"
	case PhaseConfirm:
		return "confirm"
	case PhaseDone:
		return "done"
	case PhaseAbandoned:
		return "abandoned"
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// Kind says what a post is. Each has exactly one phase.
type Kind uint8

// The kinds of posts.
const (
	KindJoin    Kind = 1
	KindCommit  Kind = 2
	KindDeal    Kind = 3
	KindVerdict Kind = 4
	KindReceipt Kind = 5
)

// Phase returns the phase in which posts of this kind are taken, or 0 for a kind
// that does not exist.
func (k Kind) Phase() Phase {
	if k < KindJoin || k > KindReceipt {
		return 0
	}
	return Phase(k)
}

// String implements [fmt.Stringer].
func (k Kind) String() string {
	switch k {
	case KindJoin:
		return "join"
	case KindCommit:
		return "commit"
	case KindDeal:
		return "deal"
	case KindVerdict:
		return "verdict"
	case KindReceipt:
		return "receipt"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
