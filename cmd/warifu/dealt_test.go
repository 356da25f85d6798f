package main

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// dealtRecord makes the public half of a key by the slow and obvious way: a
// polynomial mod q in math/big, as a dealer would who is trusted. Good for tests
// of what a client believes, and for nothing else.
func dealtRecord(ts *testscript.TestScript, g *authority.Genesis, e *authority.Entry, o *authority.Order) authority.KeyRecord {
	q := elliptic.P256().Params().N
	coefficients := make([]*big.Int, o.T)
	for i := range coefficients {
		c, err := rand.Int(rand.Reader, new(big.Int).Sub(q, big.NewInt(1)))
		ts.Check(err)
		coefficients[i] = c.Add(c, big.NewInt(1))
	}
	at := func(x int64) *big.Int {
		y := new(big.Int)
		for i := len(coefficients) - 1; i >= 0; i-- {
			y.Mul(y, big.NewInt(x)).Add(y, coefficients[i]).Mod(y, q)
		}
		return y
	}
	point := func(scalar *big.Int) []byte {
		k, err := ecdh.P256().NewPrivateKey(scalar.FillBytes(make([]byte, 32)))
		ts.Check(err)
		return k.PublicKey().Bytes()
	}
	y := at(0)
	r := authority.KeyRecord{
		Cluster: g.Cluster, Version: 1, Epoch: 1, Order: e.Encode(), Attempt: 1, LinkBefore: api.Digest{1},
		RosterVersion: 1, RecordVersion: 1,
		Y: point(y), W: point(new(big.Int).Mod(new(big.Int).Mul(y, delta(int(o.T), int(o.H()))), q)),
	}
	for i := range o.Holders {
		r.YI = append(r.YI, point(at(int64(i+1))))
	}
	r.Key = authority.KeyIDOf(authority.SessionID(g.Cluster, 1, e.ID(), r.Attempt, r.LinkBefore))
	return r
}

// delta is the least common multiple of the denominators of the Lagrange
// coefficients at 0 over all t-subsets of 1..h. Keys of a few holders only: the
// bound beyond which it is 1 is not reached.
func delta(t, h int) *big.Int {
	d := big.NewInt(1)
	var subsets func(from int, chosen []int64)
	subsets = func(from int, chosen []int64) {
		if len(chosen) < t {
			for i := from; i <= h; i++ {
				subsets(i+1, append(chosen[:len(chosen):len(chosen)], int64(i)))
			}
			return
		}
		for _, i := range chosen {
			lambda := big.NewRat(1, 1)
			for _, j := range chosen {
				if i != j {
					lambda.Mul(lambda, big.NewRat(j, j-i))
				}
			}
			gcd := new(big.Int).GCD(nil, nil, d, lambda.Denom())
			d.Mul(d, new(big.Int).Div(lambda.Denom(), gcd))
		}
	}
	subsets(1, nil)
	return d
}
