package custodian

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"filippo.io/age"

	"warifu.dev/internal/wire"
)

func aDrill() Drill {
	return Drill{Cluster: [32]byte{1}, Node: "n1", Signer: [32]byte{2}, Index: 3, Link: [32]byte{4}}
}

func newIdentity(tb testing.TB) *age.X25519Identity {
	tb.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func TestAChallengeIsAnsweredByWhoCanOpenIt(t *testing.T) {
	who, other := newIdentity(t), newIdentity(t)
	box, want, err := NewChallenge(rand.Reader, aDrill(), who.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := AnswerChallenge(aDrill(), box, who); err != nil || got != want {
		t.Errorf("answered %x, %v", got, err)
	}
	again, second, err := NewChallenge(rand.Reader, aDrill(), who.Recipient().String())
	if err != nil || second == want || bytes.Equal(again, box) {
		t.Error("two challenges have one answer")
	}
	for sentence, alter := range map[string]func(*Drill){
		"of another cluster":    func(d *Drill) { d.Cluster[0]++ },
		"of another node":       func(d *Drill) { d.Node = "n2" },
		"for another signer":    func(d *Drill) { d.Signer[0]++ },
		"at another index":      func(d *Drill) { d.Index++ },
		"after another link":    func(d *Drill) { d.Link[0]++ },
		"of another altogether": func(d *Drill) { *d = Drill{} },
	} {
		d := aDrill()
		alter(&d)
		if got, err := AnswerChallenge(d, box, who); !errors.Is(err, ErrChallenge) || got != [32]byte{} {
			t.Errorf("%s: %x, %v", sentence, got, err)
		}
	}
	if _, err := AnswerChallenge(aDrill(), box, other); !errors.Is(err, ErrChallenge) {
		t.Errorf("by another key: %v", err)
	}
	if _, _, err := NewChallenge(rand.Reader, aDrill(), "age1test"); !errors.Is(err, ErrChallenge) {
		t.Errorf("to no key: %v", err)
	}
}

// Whatever else is encrypted to a custodian, it is not opened under the name of a drill.
func TestADrillOpensNothingElse(t *testing.T) {
	who := newIdentity(t)
	seal := func(plain []byte) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, who.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	good := challenge{Kind: challengeKind, Drill: aDrill(), Nonce: make([]byte, nonceSize)}
	if _, err := AnswerChallenge(aDrill(), seal(wire.Encode(good)), who); err != nil {
		t.Fatal(err)
	}
	short, named := good, good
	short.Nonce = make([]byte, 8)
	named.Kind = "warifu unseal"
	for sentence, plain := range map[string][]byte{
		"a piece":                       bytes.Repeat([]byte{7}, 33),
		"nothing":                       nil,
		"a nonce that could be guessed": wire.Encode(short),
		"another kind":                  wire.Encode(named),
		"more than a challenge":         bytes.Repeat([]byte{7}, 700),
	} {
		if got, err := AnswerChallenge(aDrill(), seal(plain), who); !errors.Is(err, ErrChallenge) || got != [32]byte{} {
			t.Errorf("%s: %x, %v", sentence, got, err)
		}
	}
	if _, err := AnswerChallenge(aDrill(), make([]byte, MaxChallenge+1), who); !errors.Is(err, ErrChallenge) {
		t.Errorf("too large: %v", err)
	}
}
