package authority_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
)

func TestALockIsKeptWithWhoOpensIt(t *testing.T) {
	alice, bob := newSigner(t), newSigner(t)
	g := &Genesis{Custodians: []Custodian{{Name: "alice", Sign: alice.PublicKey()}, {Name: "bob", Sign: bob.PublicKey()}}}
	k, err := ParseKeptLock(KeepLock(g, []byte("lock")))
	if err != nil || string(k.Lock) != "lock" || len(k.Keepers) != 2 || k.Keepers[1] != (Keeper{"bob", FingerprintOf(bob.PublicKey())}) {
		t.Fatalf("%+v, %v", k, err)
	}
	if _, err := ParseKeptLock(KeepLock(&Genesis{}, []byte("lock"))); !errors.Is(err, ErrRestoreOffer) { // R3
		t.Errorf("for nobody: %v", err)
	}
	g.Custodians[0].Name = "al\nice"
	if _, err := ParseKeptLock(KeepLock(g, nil)); !errors.Is(err, ErrRestoreOffer) {
		t.Errorf("for somebody whose name is none: %v", err)
	}
}

func anOffer() *RestoreOffer {
	return &RestoreOffer{
		Genesis: []byte("document"), Lost: api.Digest{1}, From: "n1", Token: "serial", To: "n2", Adoptions: [][]byte{{1}, {2}}, Nonce: make([]byte, 16),
		Seals: []RestoreSeal{{Cluster: api.ClusterID{1}, Node: "n1", Generation: 4, Kept: KeptLock{Lock: []byte("lock"), Keepers: []Keeper{{Name: "alice"}}}, Door: []byte("door")}},
	}
}

// R11: an attempt is for all that its offer says, but the doors.
func TestAnAttemptIsForOneRestore(t *testing.T) {
	first := anOffer().Attempt()
	for sentence, alter := range map[string]func(*RestoreOffer){
		"another cluster":     func(o *RestoreOffer) { o.Genesis = []byte("other") },
		"another lost one":    func(o *RestoreOffer) { o.Lost[0]++ },
		"another node's":      func(o *RestoreOffer) { o.From = "n3" },
		"another token":       func(o *RestoreOffer) { o.Token = "other" },
		"for another node":    func(o *RestoreOffer) { o.To = "n3" },
		"another adoption":    func(o *RestoreOffer) { o.Adoptions[1] = []byte{3} },
		"one adoption less":   func(o *RestoreOffer) { o.Adoptions = o.Adoptions[:1] },
		"others are lost":     func(o *RestoreOffer) { o.Leave = true },
		"another attempt":     func(o *RestoreOffer) { o.Nonce[0]++ },
		"another generation":  func(o *RestoreOffer) { o.Seals[0].Generation++ },
		"another lock":        func(o *RestoreOffer) { o.Seals[0].Kept.Lock = nil },
		"other custodians":    func(o *RestoreOffer) { o.Seals[0].Kept.Keepers[0].Key[0]++ },
		"the seal of another": func(o *RestoreOffer) { o.Seals[0].Node = "n3" },
		"of another cluster":  func(o *RestoreOffer) { o.Seals[0].Cluster[0]++ },
		"two seals":           func(o *RestoreOffer) { o.Seals = append(o.Seals, o.Seals[0]) },
	} {
		o := anOffer()
		alter(o)
		if o.Attempt() == first {
			t.Errorf("%s is the same attempt", sentence)
		}
	}
	o := anOffer()
	o.Seals[0].Door = []byte("another door")
	if o.Attempt() != first || string(o.Seals[0].Door) != "another door" {
		t.Error("a door is in the attempt, which is in the door, or it was taken away")
	}
}

func FuzzParseRestoreOffer(f *testing.F) {
	s, other := newSigner(f), newSigner(f)
	b, err := SignRestoreOffer(rand.Reader, anOffer(), s, other)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseRestoreOffer(b, api.Digest{1}); !errors.Is(err, ErrRestoreOffer) {
			t.Errorf("of a cluster that nobody has: %v", err)
		}
	})
}

func FuzzParseRestorePieces(f *testing.F) {
	f.Add((&RestorePieces{Offer: api.Digest{1}, Pieces: []RestorePiece{{0, 1, []byte("handed")}}}).Encode())
	f.Add((&RestorePieces{}).Encode())
	f.Add(make([]byte, MaxRestorePieces+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseRestorePieces(b)
		if err != nil && !errors.Is(err, ErrRestoreOffer) {
			t.Errorf("%v", err)
		}
		if err == nil && string(p.Encode()) != string(b) {
			t.Error("it is read in two ways") // R4
		}
	})
}

func FuzzParseKeptLock(f *testing.F) {
	f.Add(KeepLock(&Genesis{Custodians: []Custodian{{Name: "alice"}}}, []byte("lock")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseKeptLock(b); err != nil && !errors.Is(err, ErrRestoreOffer) {
			t.Errorf("%v", err)
		}
	})
}
