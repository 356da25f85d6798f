package board

import (
	"bytes"
	"testing"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// R43: a post is checked once in a phase, whatever was posted before it, and the outcome
// is made once.
func TestAPostIsCheckedOnce(t *testing.T) {
	c := begin(t, session(2, 3, "known")).until(dkg.PhaseDeal)
	one, two := c.body(1), c.body(2)
	proposed, err := c.b.Post(1, dkg.KindDeal, one)
	if err != nil {
		t.Fatal(err)
	}
	c.accept(2, dkg.KindDeal, two)
	c.accept(1, dkg.KindDeal, one)
	if c.b.posts[dkg.KindDeal][0].body != proposed.posts[dkg.KindDeal][0].body {
		t.Error("the deal was checked again after another one")
	}
	c.until(dkg.PhaseVerdict)
	c.accept(1, dkg.KindVerdict, c.body(1))
	c.accept(2, dkg.KindVerdict, c.body(2))
	last := c.body(3)
	before, err := c.b.Post(3, dkg.KindVerdict, last)
	if err != nil {
		t.Fatal(err)
	}
	c.accept(3, dkg.KindVerdict, last)
	made, _ := before.Outcome()
	if again, ok := c.b.Outcome(); !ok || again != made {
		t.Error("the outcome was made again")
	}
	if len(c.b.known.checked) > 0 {
		t.Error("a phase begins with what was known in the one before")
	}
}

// What is known of one post says nothing of another one, by another author or with
// another byte; and what was refused is refused again.
func TestOnlyWhatWasCheckedIsKnown(t *testing.T) {
	c := begin(t, session(2, 3, "known")).until(dkg.PhaseDeal)
	good := c.body(1)
	if _, err := c.b.Post(1, dkg.KindDeal, good); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[10] ^= 1 // of the session: of a box only its recipient can say anything
	for range 2 {
		if _, err := c.b.Post(1, dkg.KindDeal, bad); err == nil {
			t.Error("an altered deal is taken beside a good one")
		}
		c.refuse(2, dkg.KindDeal, good, dkg.ErrCommitment)
	}
	c.accept(1, dkg.KindDeal, good)
	c.refuse(1, dkg.KindDeal, good, ErrTwice)
}

// A participant that posts more than anybody has to say fills no memory.
func TestLittleIsKnown(t *testing.T) {
	c := begin(t, session(2, 3, "known"))
	for range 3 * maxKnown {
		p, err := dkg.NewParticipant(c.s, 1, nil, c.rand)
		if err != nil {
			t.Fatal(err)
		}
		ready, err := p.Step(c.b.View(), c.rand)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.b.Post(1, dkg.KindJoin, ready.Post.Body); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.b.known.checked); n != maxKnown {
		t.Errorf("%d posts are known", n)
	}
}

// The open phase awaits those who take part in it and have not posted.
func TestWhomThePhaseAwaits(t *testing.T) {
	c := begin(t, session(2, 3, "awaits"))
	awaits := func(want ...sharing.Index) {
		t.Helper()
		var got []sharing.Index
		for i := sharing.Index(1); i <= 3; i++ {
			if c.b.Awaits(i) {
				got = append(got, i)
			}
		}
		if len(got) != len(want) {
			t.Errorf("the %v phase awaits %v, wanted %v", c.b.Phase(), got, want)
		}
	}
	awaits(1, 2, 3)
	c.accept(2, dkg.KindJoin, c.body(2))
	awaits(1, 3)
	c.silent[3] = true
	c.until(dkg.PhaseCommit)
	awaits(1, 2)
	if ended, err := c.b.Expire(); err != nil || ended.Awaits(1) {
		t.Errorf("what is over awaits somebody, %v", err)
	}
}
