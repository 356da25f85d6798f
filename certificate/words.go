package certificate

import (
	"fmt"
	"slices"
	"strings"
)

// What a certificate says in fixed words.
const (
	standard = "NIST SP 800-88 Rev. 2, cryptographic erase: the HSM keys that sealed the shares were destroyed"
	notAsked = "not asked: the audits of the nodes tell (warifu certificate --audit)"
	offline  = "wrapping is offline: not known"
)

// beyond are copies that no receipt can tell of.
var beyond = []string{
	"HSM tokens that were copied before, together with node directories of their time: not known to the cluster",
	"shares that were copied elsewhere than by an order of escrow: not known to the cluster",
	"data keys, and branch keys of a symmetric key, that were released before, at whoever asked for them: not known to the cluster",
}

// imported is the copy of whoever brought a key that was whole.
const imported = "the key was imported: it was whole before, and whoever brought it, or had it there, may have it still"

// notProven is what a certificate rests on, and cannot show.
var notProven = []string{
	"that a node which signed a receipt has erased: more lies in one epoch than are tolerated, and the key may be left",
	"that fewer than the cluster's threshold of nodes lied about the chain: as many could vouch for another",
	"that the custodians and the roster in this file are the newest: who replaced them since, the file cannot know",
	"that an HSM destroys what it says it destroys, and that nobody copied its token before",
	"when a receipt was signed, but by the clock of its node; when the ledger took it, its index says",
	"what was wrapped under the key, and where it lies",
}

// conclude says what it all comes to.
func (s *Says) conclude() {
	s.Standard, s.Unwrapped, s.Wrapped, s.NotProven = standard, notAsked, offline, notProven
	if s.Counted != nil {
		s.Unwrapped = s.Counted.words()
	}
	s.Gone, s.Tolerates = true, len(s.Epochs[0].Holders)
	var short []string
	for _, e := range s.Epochs {
		s.Tolerates = min(s.Tolerates, e.Tolerates)
		if e.Tolerates < 0 {
			s.Gone = false
			short = append(short, e.short())
		}
		for _, h := range e.Missing {
			s.Open = append(s.Open, fmt.Sprintf("the share of %s, %s: no receipt", h, e.which()))
		}
		for _, h := range e.Struck {
			why := "it never confirmed a share, and signs nothing about it"
			if slices.ContainsFunc(s.Adopted, func(a Adopted) bool { return a.Version == e.Version && a.Epoch == e.Number }) {
				why = "its share was not brought here, and nobody signs about it"
			}
			s.Open = append(s.Open, fmt.Sprintf("%s, %s: %s", h, e.which(), why))
		}
	}
	for _, e := range s.Escrows {
		s.Open = append(s.Open, e.words())
	}
	for _, a := range s.Adopted {
		s.Open = append(s.Open, a.words())
	}
	if s.Imported {
		s.Open = append(s.Open, imported)
	}
	s.Open = append(s.Open, beyond...)
	switch {
	case !s.Gone:
		s.Claim = "NOT GONE, as far as this certificate can say: " + strings.Join(short, "; ") + "."
	case s.Tolerates == 0:
		s.Claim = "Gone: of every epoch that ever lived fewer shares are left than open anything, if every receipt is true."
	default:
		s.Claim = fmt.Sprintf("Gone: of every epoch that ever lived fewer shares are left than open anything, as long as at most %d of the receipts of any one epoch are lies.", s.Tolerates)
	}
	if s.Imported {
		s.Claim += " This is not said of the copy that it was imported from."
	}
	if len(s.Adopted) > 0 {
		s.Claim += " This is not said of the shares that it had in the cluster that it was adopted from."
	}
}

// which names the epochs.
func (e *Epoch) which() string {
	if e.Last == 0 {
		return fmt.Sprintf("epoch %d of version %d", e.Number, e.Version)
	}
	return fmt.Sprintf("epochs %d to %d of version %d", e.Number, e.Last, e.Version)
}

// short says why epochs are not gone.
func (e *Epoch) short() string {
	each := ""
	if e.Last != 0 {
		each = " for each"
	}
	if len(e.Escrowed) == 0 {
		return fmt.Sprintf("of %s there are %d of at least %d receipts%s", e.which(), len(e.Erased), e.Need, each)
	}
	return fmt.Sprintf("of %s there are %d receipts%s, and the shares of %s are sealed to custodians as well, which nothing takes back", e.which(), len(e.Erased), each, strings.Join(e.Escrowed, ", "))
}

// words say which shares no receipt here is about: what lies in backups and tokens of
// another cluster, this one has never seen.
func (a *Adopted) words() string {
	return fmt.Sprintf("version %d of the key was adopted in its epoch %d from the cluster %s, which was lost: its nodes' directories, backups and tokens may open shares of that epoch and of those before, and no receipt here is about them",
		a.Version, a.Epoch, a.Cluster)
}

// words say which door an order of escrow has left open.
func (e *Escrow) words() string {
	sealed := strings.Join(e.Sealed, ", ")
	if sealed == "" {
		sealed = "nobody"
	}
	return fmt.Sprintf("escrow: by the order %s, since ledger index %d, shares of epoch %d of version %d are sealed to custodians, by %s; any %d of %s open them, for ever",
		e.Change, e.Index, e.Epoch, e.Version, sealed, e.Open, strings.Join(e.Custodians, ", "))
}
