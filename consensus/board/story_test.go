package board

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

var update = flag.Bool("update", false, "rewrite the stories in testdata")

// story writes down what happens to a board, entry by entry.
type story struct {
	*ceremony
	strings.Builder
	phase dkg.Phase
}

// tell begins a ceremony whose participants draw fixed random bytes. Only the
// sealed boxes are new every time, so hashes are written down until they enter.
func tell(t *testing.T, name string) *story {
	return telling(begin(t, session(3, 5, name)))
}

func telling(c *ceremony) *story {
	s := &story{ceremony: c}
	s.rand = rand.NewChaCha8([32]byte{1})
	fmt.Fprintf(s, "session %x: %d-of-%d, f = %d, R = %d\n", s.s.ID[:6], s.s.T, s.s.H, s.s.F, s.s.Receipts())
	return s
}

func (s *story) log(format string, args ...any) {
	if p := s.b.Phase(); p != s.phase {
		fmt.Fprintf(s, "\n%v%s\n", p, s.hash(" over ", s.b.View().Previous, p <= dkg.PhaseDeal))
		s.phase = p
	}
	if format != "" {
		fmt.Fprintf(s, "  "+format+"\n", args...)
	}
}

func (s *story) hash(before string, h [32]byte, fixed bool) string {
	if !fixed {
		return ""
	}
	return fmt.Sprintf("%s%x", before, h[:6])
}

func (s *story) entry(what string, next *Board, err error) {
	if err != nil {
		s.log("%s: refused: %v", what, err)
		return
	}
	s.log("%s", what)
	s.b = next
	s.log("")
}

func (s *story) say(i sharing.Index, kind dkg.Kind, body []byte) {
	next, err := s.b.Post(i, kind, body)
	hash := s.hash(", ", dkg.PostHash(s.s, i, kind, body), kind < dkg.KindDeal)
	if err == nil {
		s.posts = append(s.posts, entry{i, kind, body})
	}
	s.entry(fmt.Sprintf("holder %d posts a %v, %d bytes%s", i, kind, len(body), hash), next, err)
}

// silence is a post that a participant has nothing to make of.
func (s *story) silence(i sharing.Index) {
	s.Helper()
	if ready := s.step(i); ready.Post != nil {
		s.Fatalf("place %d posts a %v", i, ready.Post.Kind)
	}
	s.log("place %d has nothing to post", i)
}

// round lets these holders post what they have to.
func (s *story) round(holders ...sharing.Index) {
	kind := dkg.Kind(s.b.Phase())
	for _, i := range holders {
		s.say(i, kind, s.body(i))
	}
}

func (s *story) clock(holders ...sharing.Index) {
	phase := s.b.Phase()
	for _, i := range holders {
		next, err := s.b.PastDeadline(i, phase)
		s.entry(fmt.Sprintf("holder %d says that the %v phase is late", i, phase), next, err)
	}
}

func (s *story) end() {
	next, err := s.b.Activate()
	s.entry("activate", next, err)
	o, _ := s.b.Outcome()
	fmt.Fprintf(s, "\nqualified  %v\nconfirmed  %v\nstruck     %v\naccused    %v\n", o.Qual, s.b.Receipts(), s.b.Struck(), s.b.Accused())
	for _, key := range o.Keys {
		fmt.Fprintf(s, "Y          %x\n", key.Y.Compressed())
		for i, y := range key.YI {
			fmt.Fprintf(s, "Y_%d        %x\n", i+1, y.Compressed())
		}
	}
	file := filepath.Join("testdata", filepath.Base(s.Name())+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
			s.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	if s.String() != string(want) {
		s.Errorf("the story is not the one in %s any more; it is now:\n%s", file, s)
	}
}

func TestStories(t *testing.T) {
	t.Run("honest", func(t *testing.T) {
		s := tell(t, "honest")
		for range 5 {
			s.round(1, 2, 3, 4, 5)
		}
		s.end()
	})
	// Holder 5 is never there. Holder 4 deals a bad box to holder 1, holder 2 lies
	// about holder 1, and the key is born all the same.
	t.Run("liars", func(t *testing.T) {
		s := tell(t, "liars")
		s.round(1, 2, 3, 4)
		s.clock(1, 2, 3)
		s.round(1, 2, 3)
		d := s.dealer(4, 3)
		s.say(4, dkg.KindCommit, d.commit())
		s.round(3, 2, 1)
		s.say(5, dkg.KindDeal, nil)
		deal := d.deal()
		deal.Boxes[0] = flip(deal.Boxes[0], 0)
		s.say(4, dkg.KindDeal, wire.Encode(deal))
		s.say(2, dkg.KindVerdict, wire.Encode(dkg.Verdict{
			Session: s.s.ID, Previous: s.b.View().Previous,
			Complaints: []dkg.Complaint{{Dealer: 1, ReceiveKey: s.receiveSecrets(2)[0]}},
		}))
		s.round(1, 3)
		s.say(4, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: s.s.ID, Previous: s.b.View().Previous}))
		s.round(1, 2, 3)
		s.clock(1, 2, 3)
		s.say(4, dkg.KindReceipt, d.receipt())
		s.end()
	})
	// Two keys of 3-of-5 go to 2-of-4: the nodes at the places 1 and 2 stay, 3 and 4 are
	// new, 5, 6 and 7 leave. The one at 5 is never there. The one at 6 wants to deal
	// another constant than its old share of the second key, and the keys stay.
	t.Run("reshare", func(t *testing.T) {
		_, c := leavers(t, 2)
		s := telling(c)
		fmt.Fprintf(s, "%d keys of %d-of-%d, old indices %v, %d statements that it is late\n", s.s.N, s.s.Old.T, s.s.Old.H, s.s.Old.Holders, s.s.Statements())
		s.round(1, 2, 3, 4, 6, 7)
		s.clock(1, 3, 4)
		s.silence(3)
		s.alter(6, func(st *stolen) { st.Polynomials[1] = fresh(s.ceremony, s.s.T) })
		s.round(1, 2, 6, 7)
		s.round(1, 2, 6, 7)
		s.clock(1, 2, 3)
		s.silence(7)
		s.round(1, 2, 3, 4)
		s.silence(7)
		s.round(1, 2, 3, 4)
		s.end()
	})
}
