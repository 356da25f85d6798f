package board

import (
	"sync"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// maxKnown bounds how many posts of one phase are remembered: two of each participant.
const maxKnown = 2 * dkg.MaxParticipants

// known is what was found out about posts in one phase of a session. What a post is
// checked against does not change within a phase, whatever else is posted: so the boards
// of a phase share it, and who meets a post again, to store it after it was proposed, or
// after another one, does not check it again. Nobody is believed: a post that this
// process has not checked is checked, and one that was refused is, once more.
type known struct {
	mu       sync.Mutex
	checked  map[[32]byte]any          // by [dkg.PostHash], which covers author, kind and body; guarded by mu
	outcomes map[[32]byte]*dkg.Outcome // by the hash of the closed verdict list, which covers all posts; guarded by mu
}

func newKnown() *known {
	return &known{checked: map[[32]byte]any{}, outcomes: map[[32]byte]*dkg.Outcome{}}
}

// post checks a post of the open phase, unless it was.
func (k *known) post(b *Board, author sharing.Index, kind dkg.Kind, body []byte, hash [32]byte) (any, error) {
	k.mu.Lock()
	checked, is := k.checked[hash]
	k.mu.Unlock()
	if is {
		return checked, nil
	}
	checked, err := b.check(author, kind, body)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.checked) < maxKnown {
		k.checked[hash] = checked
	}
	return checked, nil
}

// outcome makes the outcome of a board whose verdict list is closed, unless it was made.
func (k *known) outcome(b *Board, qual []sharing.Index) (*dkg.Outcome, error) {
	k.mu.Lock()
	made := k.outcomes[b.previous]
	k.mu.Unlock()
	if made != nil {
		return made, nil
	}
	made, err := dkg.NewOutcome(b.session, qual, bodies[dkg.Dealing](b, dkg.KindDeal), b.previous)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.outcomes) < maxKnown {
		k.outcomes[b.previous] = made
	}
	return made, nil
}
