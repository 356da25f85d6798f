package authority_test

import (
	"crypto/rand"
	"errors"
	"testing"

	. "warifu.dev/authority"
)

func TestADoorIsSignedByItsNode(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	parts := [][]byte{[]byte("cluster"), []byte("node"), []byte("door")}
	sig, err := SignDoor(rand.Reader, s, parts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyDoor(s.PublicKey(), sig, parts...); err != nil {
		t.Fatal(err)
	}
	if err := VerifyDoor(other.PublicKey(), sig, parts...); !errors.Is(err, ErrSignature) {
		t.Errorf("another node's key: %v", err)
	}
	for i := range parts {
		altered := append([][]byte{}, parts...)
		altered[i] = []byte("other")
		if err := VerifyDoor(s.PublicKey(), sig, altered...); !errors.Is(err, ErrSignature) {
			t.Errorf("part %d altered: %v", i, err)
		}
	}
}

func FuzzVerifyDoor(f *testing.F) {
	s := newSigner(f)
	sig, err := SignDoor(rand.Reader, s, []byte("door"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.PublicKey(), sig)
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		if err := VerifyDoor(key, signature, []byte("another door")); err == nil {
			t.Error("signed for another door")
		}
	})
}
