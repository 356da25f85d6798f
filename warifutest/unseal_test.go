package warifutest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
	"warifu.dev/warifutest"
)

// custodian is one at a laptop.
type custodian struct {
	place int
	*client.Client
	desk *warifutest.Desk
}

func custodianAt(t *testing.T, c *warifutest.Cluster, place int) custodian {
	t.Helper()
	cl, err := c.CustodianAt(place)
	if err != nil {
		t.Fatal(err)
	}
	return custodian{place, cl, c.Desk()}
}

// offers waits until every node offers its seal, or says that there is none.
func (u custodian) offers(t *testing.T) map[string]*api.UnsealOffer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
	defer cancel()
	for {
		out := map[string]*api.UnsealOffer{}
		var last error
		for _, s := range u.Seals(ctx) {
			if s.Err != nil {
				last = s.Err
				continue
			}
			out[s.Node] = s.Offer
		}
		if last == nil {
			return out
		}
		select {
		case <-ctx.Done():
			t.Fatal(last)
		case <-time.After(time.Second):
		}
	}
}

func (u custodian) hand(t *testing.T, o *api.UnsealOffer) (*api.UnsealOffer, error) {
	t.Helper()
	return u.HandOver(t.Context(), o, u.place, u.desk.Custodians()[u.place].OpenKey())
}

func refusedAs(err error, code api.Code, words string) bool {
	var nodes *client.NodesError
	return errors.As(err, &nodes) && len(nodes.Reasons) == 1 && nodes.Reasons[0].Code == code && strings.Contains(nodes.Reasons[0].Sentence, words)
}

// Five sealed nodes are opened by two custodians, and release nothing before.
func TestCustodiansOpenTheSeals(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 1, Sealed: true}, func(t *testing.T, c *warifutest.Cluster) {
		app, key, err := c.Application(warifutest.AppA)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := key.Wrap(rand.Reader, nil, secret.New(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		alice, bob := custodianAt(t, c, 0), custodianAt(t, c, 1)
		for node, o := range alice.offers(t) {
			if !o.Locked || o.State != "sealed" || o.Need != 2 || len(o.Have) != 0 {
				t.Fatalf("%s offers %+v", node, o)
			}
			after, err := alice.hand(t, o)
			if err != nil || !after.Locked || !slices.Equal(after.Have, []string{"custodian-1"}) {
				t.Fatalf("%s: %+v, %v", node, after, err)
			}
		}
		var quorum *client.QuorumError
		if _, err := app.Unwrap(t.Context(), envelope, nil, "too early"); !errors.As(err, &quorum) || quorum.Reasons[0].Code != api.CodeSealed {
			t.Fatalf("with one custodian's piece: %v", err)
		}
		for _, s := range alice.Status(t.Context()) {
			if s.Err != nil || s.Answer.State != "sealed" || !slices.Contains(s.Answer.Warnings, "sealed: needs 1 more of custodian-2, custodian-3 (here: custodian-1)") {
				t.Fatalf("%s: %+v, %v", s.Node, s.Answer, s.Err)
			}
		}

		// A node that is killed after the first piece forgets it, and needs both.
		const killed = "jp-west-1"
		if err := c.Crash(killed); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(killed); err != nil {
			t.Fatal(err)
		}
		for node, o := range bob.offers(t) {
			after, err := bob.hand(t, o)
			if err != nil || after.Locked != (node == killed) {
				t.Fatalf("%s: %+v, %v", node, after, err)
			}
		}
		again := alice.offers(t)[killed]
		if !slices.Equal(again.Have, []string{"custodian-2"}) {
			t.Fatalf("%s has %v", killed, again.Have)
		}
		if after, err := alice.hand(t, again); err != nil || after.Locked {
			t.Fatalf("%+v, %v", after, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
		defer cancel()
		if err := c.WaitServing(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Unwrap(t.Context(), envelope, nil, "all are open"); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.hand(t, again); !refusedAs(err, api.CodePiece, "nothing to open here") {
			t.Errorf("to an open seal: %v", err)
		}
	})
}

// What does not belong is refused on arrival, by name, and changes nothing.
func TestAPieceThatDoesNotBelongIsRefusedByName(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 2, Sealed: true}, func(t *testing.T, c *warifutest.Cluster) {
		alice, bob := custodianAt(t, c, 0), custodianAt(t, c, 1)
		const node, other = "jp-east-1", "sg-1"
		offers := alice.offers(t)
		o := offers[node]
		if _, err := alice.hand(t, o); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.hand(t, o); !refusedAs(err, api.CodePiece, "is here already") {
			t.Errorf("twice: %v", err)
		}

		// Bytes of our own making, sent as bob.
		cert, err := c.Desk().Custodian(1)
		if err != nil {
			t.Fatal(err)
		}
		raw := warifutest.NewDirect(c.Genesis(), cert, c.Open)
		defer raw.Close()
		seal := unseal.Seal{Cluster: c.Genesis().Cluster, Node: node, Generation: o.Generation}
		mine := bob.offers(t)[node]
		piece, err := unseal.OpenBox(seal, 1, mine.Box, c.Desk().Custodians()[1].OpenKey())
		if err != nil {
			t.Fatal(err)
		}
		send := func(q api.UnsealPiece) error {
			_, err := raw.Call(t.Context(), node, api.MethodUnsealPiece, wire.Encode(q))
			return err
		}
		handed := func(p secret.Bytes) []byte {
			b, err := unseal.HandOver(seal, o.Attempt, o.Door, 1, p)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		wrong := secret.Clone(piece.Reveal())
		wrong.Reveal()[3] ^= 1
		for sentence, tt := range map[string]struct {
			piece api.UnsealPiece
			says  string
		}{
			"wrong":              {api.UnsealPiece{Generation: o.Generation, Attempt: o.Attempt, Handed: handed(wrong)}, "not the one that the lock"},
			"altered":            {api.UnsealPiece{Generation: o.Generation, Attempt: o.Attempt, Handed: append(handed(piece)[:1201], 0)}, "does not open"},
			"another attempt":    {api.UnsealPiece{Generation: o.Generation, Attempt: [16]byte{1}, Handed: handed(piece)}, "another attempt or generation"},
			"another generation": {api.UnsealPiece{Generation: o.Generation + 1, Attempt: o.Attempt, Handed: handed(piece)}, "another attempt or generation"},
			"empty":              {api.UnsealPiece{Generation: o.Generation, Attempt: o.Attempt}, "does not open"},
		} {
			if err := send(tt.piece); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", sentence, err)
			}
		}

		// A node shows another's seal, or a door that it did not sign.
		for sentence, lie := range map[string]func(o *api.UnsealOffer){
			"another node's door": func(o *api.UnsealOffer) {
				o.Attempt, o.Door, o.Signature = offers[other].Attempt, offers[other].Door, offers[other].Signature
			},
			"another door":    func(o *api.UnsealOffer) { o.Door = offers[other].Door },
			"another attempt": func(o *api.UnsealOffer) { o.Attempt[0] ^= 1 },
			"a generation":    func(o *api.UnsealOffer) { o.Generation++ },
			"another box":     func(o *api.UnsealOffer) { o.Box = offers[other].Box },
		} {
			lied := *mine
			lie(&lied)
			if _, err := bob.hand(t, &lied); !errors.Is(err, client.ErrAnswer) {
				t.Errorf("a node shows %s: %v", sentence, err)
			}
		}

		// After all of that, bob's piece opens the seal.
		if after, err := bob.hand(t, mine); err != nil || after.Locked {
			t.Fatalf("%+v, %v", after, err)
		}
	})
}

// An attempt that is left half done forgets its pieces.
func TestAHalfDoneUnsealEnds(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 3, Sealed: true}, func(t *testing.T, c *warifutest.Cluster) {
		alice, bob := custodianAt(t, c, 0), custodianAt(t, c, 1)
		const node = "jp-east-1"
		before := alice.offers(t)[node]
		if _, err := alice.hand(t, before); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		after := bob.offers(t)[node]
		if len(after.Have) != 0 || after.Attempt == before.Attempt {
			t.Fatalf("eleven minutes later: %+v", after)
		}
		if _, err := bob.hand(t, before); !errors.Is(err, client.ErrAnswer) && !refusedAs(err, api.CodePiece, "another attempt") {
			t.Errorf("a piece for the attempt that ended: %v", err)
		}
		for _, u := range []custodian{bob, alice} {
			o := u.offers(t)[node]
			if _, err := u.hand(t, o); err != nil {
				t.Fatal(err)
			}
		}
		if o := bob.offers(t)[node]; o.Locked {
			t.Errorf("%+v", o)
		}
	})
}

// An emergency seal shuts nodes that custodians have opened, and wipes what they
// hold; no piece is taken before it is lifted, and after that it takes pieces again.
func TestASealShutsWhatCustodiansHaveOpened(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 4, Sealed: true}, func(t *testing.T, c *warifutest.Cluster) {
		alice, bob := custodianAt(t, c, 0), custodianAt(t, c, 1)
		open := func() {
			t.Helper()
			for _, u := range []custodian{alice, bob} {
				for node, o := range u.offers(t) {
					if _, err := u.hand(t, o); err != nil {
						t.Fatalf("%s: %v", node, err)
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
			defer cancel()
			if err := c.WaitServing(ctx); err != nil {
				t.Fatal(err)
			}
		}
		before := alice.offers(t)
		open()
		change := func(kind string, body []byte) api.Digest {
			t.Helper()
			e, err := c.Desk().Sign(kind, body, api.Digest{})
			if err == nil {
				_, err = alice.Submit(t.Context(), e.Encode())
			}
			if err != nil {
				t.Fatal(err)
			}
			return e.ID()
		}
		by := change(authority.KindSeal, wire.Encode(authority.Seal{Subject: authority.Subject{Kind: authority.SubjectCluster}}))
		time.Sleep(3 * time.Second)
		for _, s := range alice.Status(t.Context()) {
			if s.Err != nil || s.Answer.State != "sealed by custodians" {
				t.Errorf("%s: %+v, %v", s.Node, s.Answer, s.Err)
			}
		}
		for _, s := range alice.Seals(t.Context()) {
			if !refusedAs(s.Err, api.CodeSealed, "a lift of "+by.String()) {
				t.Errorf("%s offers its seal: %+v, %v", s.Node, s.Offer, s.Err)
			}
			if _, err := alice.hand(t, before[s.Node]); !refusedAs(err, api.CodeSealed, "a lift of "+by.String()) {
				t.Errorf("%s takes a piece: %v", s.Node, err)
			}
		}
		change(authority.KindLift, wire.Encode(authority.Lift{Lifts: by}))
		time.Sleep(3 * time.Second)
		for node, o := range alice.offers(t) {
			if !o.Locked || o.State != "sealed" || len(o.Have) != 0 || o.Attempt == before[node].Attempt {
				t.Errorf("%s, lifted, offers %+v", node, o)
			}
		}
		open()
	})
}
