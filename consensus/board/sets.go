package board

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tprf"
)

// said is what the receipts say of the key of one set: by hash, whose word it is.
type said map[[32]byte][]sharing.Index

// setsSaid is what the receipts of a symmetric key say of each set.
func (b *Board) setsSaid() map[tprf.Set]said {
	all := map[tprf.Set]said{}
	for k, p := range b.posts[dkg.KindReceipt] {
		if p == nil || p.body == nil {
			continue
		}
		author := sharing.Index(k + 1)
		for set, hash := range p.body.(*dkg.Receipt).SetHashes(b.session, author) {
			if all[set] == nil {
				all[set] = said{}
			}
			all[set][hash] = append(all[set][hash], author)
		}
	}
	return all
}

// disputed is the first set of which two members say that its key is another, or 0. What
// was dealt is fixed by the dealers' commitments, so that honest members have the same:
// one who says another one lies.
func (b *Board) disputed() tprf.Set {
	if b.session.Symmetric == nil || b.phase != dkg.PhaseConfirm {
		return 0
	}
	all := b.setsSaid()
	for _, set := range tprf.Sets(sharing.Params{T: b.session.T, H: b.session.H}) {
		if len(all[set]) > 1 {
			return set
		}
	}
	return 0
}

// endDisputed ends a session whose receipts differ, once all are there or the confirm
// phase is late. Nothing of it is used. Who lied the board cannot see without the key; the
// reason names the set and who said what, for people: more than f who say the same are
// right. So a liar keeps a symmetric key from being born, and is seen to do it: the next
// order leaves it out.
func (b *Board) endDisputed() {
	set := b.disputed()
	if set == 0 || len(b.Receipts()) < len(b.awaited()) && !b.isLate() {
		return
	}
	var groups []string
	for _, who := range b.setsSaid()[set] {
		groups = append(groups, places(who))
	}
	slices.Sort(groups)
	b.fail(fmt.Sprintf("of the set of holders %s not all have the same key: %s", places(members(set)), strings.Join(groups, " against ")))
}

func members(set tprf.Set) (list []sharing.Index) {
	for i := sharing.Index(1); i <= tprf.MaxHolders; i++ {
		if set.Has(i) {
			list = append(list, i)
		}
	}
	return list
}

func places(list []sharing.Index) string {
	var words []string
	for _, i := range list {
		words = append(words, strconv.Itoa(int(i)))
	}
	return strings.Join(words, ", ")
}

// SetHashes returns, at the birth of a symmetric key that is [Board.ReadyToActivate], what
// its members say of the key of each set, in the order of [tprf.Sets]. The receipts that
// activate a key are t+f at least, so that f+1 of the members of every set have said it;
// where h = t, its only one has.
func (b *Board) SetHashes() [][]byte {
	all := b.setsSaid()
	var out [][]byte
	for _, set := range tprf.Sets(sharing.Params{T: b.session.T, H: b.session.H}) {
		if len(all[set]) != 1 {
			panic(fmt.Sprintf("board: %d keys of the set %b of an activated session", len(all[set]), set))
		}
		for hash := range all[set] {
			out = append(out, hash[:])
		}
	}
	return out
}
