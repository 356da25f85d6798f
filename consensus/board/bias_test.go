package board

import (
	"flag"
	"fmt"
	"math"
	"testing"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

var biasSessions = flag.Int("bias-sessions", 60, "how many sessions the measure of the bias runs with each number of droppers")

// R6: f dealers wait until all others have revealed, compute the public key for
// each set of them that could drop out, and drop the one that suits them. They
// want its lowest bit to be 0 and get it with probability 1 - 2^-(2^f): the best
// of 2^f public keys, and no better. What they cannot do is choose one.
func TestDroppersBiasThePublicKeyByThisMuch(t *testing.T) {
	for f := 1; f <= 3; f++ {
		t.Run(fmt.Sprintf("f = %d", f), func(t *testing.T) {
			s := session(f+1, 2*f+1, "")
			zeros, seen := 0, map[string]bool{}
			for n := range *biasSessions {
				s.ID[0], s.ID[1] = byte(n), byte(n>>8)
				c := begin(t, s)
				c.rand.Seed([32]byte{byte(n), byte(n >> 8), byte(f)})
				c.fresh()
				c.until(dkg.PhaseDeal)
				rest := group.Identity()
				for i := sharing.Index(1); int(i) <= s.T; i++ {
					c.accept(i, dkg.KindDeal, c.body(i))
					rest = rest.Add(c.dealt(i).Constant())
				}
				stay := c.choose(rest)
				for k := range f {
					i := sharing.Index(s.T + 1 + k)
					if stay>>k&1 == 1 {
						c.accept(i, dkg.KindDeal, c.body(i))
					} else {
						c.silent[i] = true
					}
				}
				c.until(dkg.PhaseConfirm)
				o, _ := c.b.Outcome()
				if lowest(o.Keys[0].Y) == 0 {
					zeros++
				}
				if seen[string(o.Keys[0].Y.Bytes())] {
					t.Fatal("two sessions have one key")
				}
				seen[string(o.Keys[0].Y.Bytes())] = true
			}
			got, want := float64(zeros)/float64(*biasSessions), 1-math.Pow(2, -math.Pow(2, float64(f)))
			t.Logf("%d-of-%d, %d droppers: the lowest bit of the public key is 0 in %d of %d sessions (%.3f; the best of %d is %.3f)",
				s.T, s.H, f, zeros, *biasSessions, got, 1<<f, want)
			if off := math.Abs(got - want); off > 4.5*math.Sqrt(want*(1-want)/float64(*biasSessions)) {
				t.Errorf("the bias is %.3f, the best of %d keys gives %.3f", got, 1<<f, want)
			}
		})
	}
}

// choose returns the set of droppers, as bits, that stay for the lowest bit to be 0.
func (c *ceremony) choose(rest *group.Point) (stay int) {
	f := c.s.H - c.s.T
	mine := make([]*group.Point, f)
	for k := range mine {
		deal, err := dkg.DecodeDeal(c.body(sharing.Index(c.s.T + 1 + k)))
		if err != nil {
			c.Fatal(err)
		}
		if mine[k], err = group.DecodePoint(deal.Commitments[0][0]); err != nil {
			c.Fatal(err)
		}
	}
	for stay = 1<<f - 1; stay > 0; stay-- {
		y := rest
		for k, p := range mine {
			if stay>>k&1 == 1 {
				y = y.Add(p)
			}
		}
		if lowest(y) == 0 {
			return stay
		}
	}
	return 0
}

// lowest is the lowest bit of the point's x.
func lowest(p *group.Point) byte { return p.Bytes()[32] & 1 }

// fresh gives every holder a new participant, from the randomness as it now is.
func (c *ceremony) fresh() {
	c.Helper()
	for i := range c.s.H {
		p, err := dkg.NewParticipant(c.s, sharing.Index(i+1), nil, c.rand)
		if err != nil {
			c.Fatal(err)
		}
		c.parts[sharing.Index(i+1)] = p
	}
}
