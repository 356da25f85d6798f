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
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/warifutest"
)

// succeeded puts other custodians in force, and returns where they sit.
func succeeded(t *testing.T, by custodian, base api.Digest) (*warifutest.Desk, api.Digest) {
	t.Helper()
	next, e, err := by.desk.Succeed(2, base)
	if err == nil {
		_, err = by.Submit(t.Context(), e.Encode())
	}
	if err != nil {
		t.Fatal(err)
	}
	return next, e.ID()
}

func seatedAt(t *testing.T, c *warifutest.Cluster, desk *warifutest.Desk, place int) custodian {
	t.Helper()
	cert, err := desk.Custodian(place)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Client(cert)
	if err != nil {
		t.Fatal(err)
	}
	return custodian{place, cl, desk}
}

// lockedBefore waits until every node that answers says that these are still locked for
// former custodians, and no others.
func (u custodian) lockedBefore(t *testing.T, answering int, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
	defer cancel()
	for {
		agree := 0
		var last []api.FormerLock
		for _, s := range u.Status(ctx) {
			if s.Err != nil {
				continue
			}
			last = s.Answer.FormerLocks
			var nodes []string
			for _, l := range last {
				nodes = append(nodes, l.Node)
			}
			if slices.Equal(nodes, want) {
				agree++
			}
		}
		if agree == answering {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d nodes say that %v are locked for former custodians; one says %+v", agree, answering, want, last)
		case <-time.After(time.Second):
		}
	}
}

func (u custodian) shutOut(t *testing.T, node string, code api.Code) {
	t.Helper()
	for _, s := range u.Seals(t.Context(), node) {
		if !refusedAs(s.Err, code, "") {
			t.Errorf("%s answers %s: %+v, %v", node, u.desk.Custodians()[u.place].Name(), s.Offer, s.Err)
		}
	}
}

// openedBy has both hand over their pieces to one node.
func openedBy(t *testing.T, node string, first, second custodian) {
	t.Helper()
	for i, u := range []custodian{first, second} {
		ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
		for {
			s := u.Seals(ctx, node)[0]
			if s.Err == nil && s.Offer.Locked {
				after, err := u.HandOver(ctx, s.Offer, int(s.Offer.Place)-1, u.desk.Custodians()[u.place].OpenKey())
				// With the last piece the node is open, and those who were replaced are nobody there.
				if (err != nil || after.Locked) && !(i == 0 && err == nil) && !(i == 1 && s.Offer.Former && refusedAs(err, api.CodeUnauthenticated, "")) {
					t.Fatalf("%s: %+v, %v", node, after, err)
				}
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %+v, %v", node, s.Offer, s.Err)
			case <-time.After(time.Second):
			}
		}
		cancel()
	}
}

// Where custodians open the seals, they are replaced all the same. A node that is open
// locks itself anew for the new ones, while it releases; one that is sealed, or down, is
// opened by those before, who are nobody otherwise, and does it then; and everybody is
// told which nodes those are. In the end the old pieces open nothing.
func TestCustodiansWhoOpenSealsAreReplaced(t *testing.T) {
	warifutest.Run(t, warifutest.Options{Seed: 5, Sealed: true}, func(t *testing.T, c *warifutest.Cluster) {
		app, key, err := c.Application(warifutest.AppA)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := key.Wrap(rand.Reader, nil, secret.New(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		unwraps := func(when string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), warifutest.Patience)
			defer cancel()
			for {
				_, err := app.Unwrap(ctx, envelope, nil, when)
				if err == nil {
					return
				}
				if ctx.Err() != nil {
					t.Fatalf("%s: %v", when, err)
				}
				time.Sleep(time.Second)
			}
		}
		const sealed, down = "jp-west-2", "sg-1"
		alice, bob := custodianAt(t, c, 0), custodianAt(t, c, 1)
		open := []string{"jp-east-1", "jp-east-2", "jp-west-1"}
		for _, node := range open {
			openedBy(t, node, alice, bob)
		}
		if err := c.Stop(down); err != nil {
			t.Fatal(err)
		}
		unwraps("before")
		if offer := alice.Seals(t.Context(), sealed)[0].Offer; offer == nil || !offer.Locked || offer.Former || offer.Place != 1 {
			t.Fatalf("before the replacement %s offers %+v", sealed, offer)
		}

		next, change := succeeded(t, alice, api.Digest{})
		carol, dora := seatedAt(t, c, next, 0), seatedAt(t, c, next, 1)
		carol.lockedBefore(t, 4, sealed, down)
		if _, err := app.Unwrap(t.Context(), envelope, nil, "while nodes are locked anew"); err != nil {
			t.Errorf("no request fails meanwhile: %v", err)
		}

		// Those who were replaced are nobody to a node that is open, and to one that is
		// sealed they may hand over pieces, and no more.
		for _, node := range open {
			alice.shutOut(t, node, api.CodeUnauthenticated)
		}
		cert, err := c.Desk().Custodian(0)
		if err != nil {
			t.Fatal(err)
		}
		raw := warifutest.NewDirect(c.Genesis(), cert, c.Open)
		defer raw.Close()
		for _, method := range []uint16{api.MethodStatus, api.MethodPolicy, api.MethodProposals, api.MethodDrill, api.MethodSubmit, api.MethodDeny, api.MethodKeyList, api.MethodAnchors} {
			if _, err := raw.Call(t.Context(), sealed, method, nil); err == nil || !saysDenied(err) {
				t.Errorf("one who was replaced asks for %d: %v", method, err)
			}
		}
		// The new ones have no piece of that seal, and one that they make up is refused.
		mine := carol.Seals(t.Context(), sealed)[0].Offer
		if mine == nil || !mine.Locked || !mine.Former || mine.Place != 0 || len(mine.Box) != 0 || !slices.Equal(mine.Custodians, []string{"custodian-1", "custodian-2", "custodian-3"}) {
			t.Fatalf("%s offers to a new custodian: %+v", sealed, mine)
		}
		newCert, err := next.Custodian(0)
		if err != nil {
			t.Fatal(err)
		}
		rawNew := warifutest.NewDirect(c.Genesis(), newCert, c.Open)
		defer rawNew.Close()
		if _, err := rawNew.Call(t.Context(), sealed, api.MethodUnsealPiece, wire.Encode(api.UnsealPiece{Generation: mine.Generation, Attempt: mine.Attempt, Handed: make([]byte, 1202)})); err == nil || !contains(err, "successor-1 has no piece of this seal") {
			t.Errorf("a new custodian hands over a piece of an old seal: %v", err)
		}

		// They open it, and it locks itself anew at once.
		openedBy(t, sealed, alice, bob)
		carol.lockedBefore(t, 4, down)
		alice.shutOut(t, sealed, api.CodeUnauthenticated)

		// The other one comes back, and both that it needs are still there.
		if err := c.Start(down); err != nil {
			t.Fatal(err)
		}
		openedBy(t, down, bob, custodianAt(t, c, 2))
		carol.lockedBefore(t, 5)
		unwraps("after")

		// From now on it takes the new ones, and their pieces alone.
		for _, node := range c.IDs() {
			if err := errors.Join(c.Crash(node), c.Start(node)); err != nil {
				t.Fatal(err)
			}
		}
		for _, node := range c.IDs() {
			openedBy(t, node, carol, dora)
			alice.shutOut(t, node, api.CodeUnauthenticated)
		}
		unwraps("opened by the new ones")

		// And again, with nobody away.
		last, _ := succeeded(t, carol, change)
		seatedAt(t, c, last, 0).lockedBefore(t, 5)
		carol.shutOut(t, down, api.CodeUnauthenticated)
		unwraps("replaced twice")
	})
}

func saysDenied(err error) bool { return contains(err, "may not ask for this") }

func contains(err error, words string) bool { return strings.Contains(err.Error(), words) }
