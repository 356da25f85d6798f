package tdh2

import (
	"bytes"
	"crypto"
	"testing"

	circl "github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/zk/dleq"

	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// A second opinion: circl's verifier of RFC 9497 takes our share proofs and
// refuses what we refuse.
func TestShareProofsPassCirclsVerifier(t *testing.T) {
	f := newFixture(t, "circl", 3, 5)
	element := func(p *group.Point) circl.Element {
		e := circl.P256.NewElement()
		if err := e.UnmarshalBinary(p.Bytes()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	verify := func(id ShareID, yi, di *group.Point, proof []byte) bool {
		dst := id.dst(yi, di, f.envelope)
		p := new(dleq.Proof)
		if err := p.UnmarshalBinary(circl.P256, proof); err != nil {
			t.Fatal(err)
		}
		return dleq.Verifier{Params: dleq.Params{G: circl.P256, H: crypto.SHA256, DST: dst[:]}}.
			VerifyBatchRFC9497(element(yi), []circl.Element{element(f.envelope.U())}, []circl.Element{element(di)}, p)
	}
	for i := sharing.Index(1); i <= 5; i++ {
		share, yi := f.poly.Eval(i), f.poly.Commit().Eval(i)
		di := f.verified.Partial(share)
		proof, err := ProveShare(seeded("proof"), share, f.id(i), yi, di, f.envelope)
		if err != nil {
			t.Fatal(err)
		}
		if !verify(f.id(i), yi, di, proof) {
			t.Errorf("circl refuses the proof of %d", i)
		}
		next := f.id(i)
		next.Epoch++
		if verify(next, yi, di, proof) {
			t.Errorf("circl takes the proof of %d for another epoch", i)
		}
		if verify(f.id(i), yi, di.Add(group.Generator()), proof) {
			t.Errorf("circl takes a lie of %d", i)
		}
		bad := bytes.Clone(proof)
		bad[63] ^= 1
		if verify(f.id(i), yi, di, bad) {
			t.Errorf("circl takes a changed proof of %d", i)
		}
	}
}
