package pieces_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/pieces"
)

func split(t testing.TB, s string, n, m int) []*pieces.Piece {
	t.Helper()
	out, err := pieces.Split(rand.Reader, secret.New([]byte(s)), n, m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// combine reads the pieces back from their text, in the order given.
func combine(t testing.TB, ps []*pieces.Piece) (string, error) {
	t.Helper()
	var c pieces.Collection
	for i, p := range ps {
		read, err := pieces.Parse(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		missing, err := c.Add(read)
		if err != nil {
			return "", err
		}
		if want := max(0, read.Set().Threshold-i-1); missing != want {
			t.Fatalf("missing %d, want %d", missing, want)
		}
	}
	s, err := c.Combine()
	return string(s.Reveal()), err
}

func TestAnyThresholdGivesTheSecretBack(t *testing.T) {
	for _, tt := range []struct{ n, m int }{{2, 2}, {3, 2}, {5, 3}, {100, 50}, {255, 2}} {
		for _, s := range []string{"x", "correct horse battery staple"} {
			all := split(t, s, tt.n, tt.m)
			for range 2 {
				some := make([]*pieces.Piece, 0, tt.m)
				for _, i := range mathrand.Perm(tt.n)[:tt.m] {
					some = append(some, all[i])
				}
				if got, err := combine(t, some); err != nil || got != s {
					t.Fatalf("%d of %d: %v", tt.m, tt.n, err)
				}
				if _, err := combine(t, some[1:]); !errors.Is(err, pieces.ErrTooFew) {
					t.Fatalf("%d of %d: one too few: %v", tt.m, tt.n, err)
				}
			}
			if got, err := combine(t, all); err != nil || got != s {
				t.Fatalf("all %d: %v", tt.n, err)
			}
		}
	}
}

func TestWhatDoesNotBelongIsRefusedOnArrival(t *testing.T) {
	a, b := split(t, "one", 5, 3), split(t, "one", 5, 3)
	var c pieces.Collection
	for _, p := range a[:2] {
		if _, err := c.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if missing, err := c.Add(b[2]); !errors.Is(err, pieces.ErrOtherSet) || missing != 1 {
		t.Errorf("another set: %d, %v", missing, err)
	}
	if missing, err := c.Add(a[1]); !errors.Is(err, pieces.ErrTwice) || missing != 1 {
		t.Errorf("twice: %d, %v", missing, err)
	}
	if _, err := c.Combine(); !errors.Is(err, pieces.ErrTooFew) {
		t.Errorf("two of three: %v", err)
	}
	if _, err := c.Add(a[4]); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Combine(); err != nil || string(s.Reveal()) != "one" {
		t.Errorf("what was refused stood in the way: %v", err)
	}
	if _, err := (&pieces.Collection{}).Combine(); !errors.Is(err, pieces.ErrTooFew) {
		t.Errorf("none: %v", err)
	}
}

func everyByteCounts(t *testing.T, whole []byte) {
	t.Helper()
	lines := bytes.SplitAfter(whole, []byte("\n"))
	at := len(lines[0])
	for i := at; i < len(whole)-len("-----END WARIFU PIECE-----\n"); i++ {
		if whole[i] == '\n' {
			continue
		}
		altered := bytes.Clone(whole)
		// Among 64 characters, the next one differs in the lowest bit too: the one that may say nothing.
		altered[i]++
		if _, err := pieces.Parse(altered); !errors.Is(err, pieces.ErrPiece) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func TestEveryByteOfAPieceCounts(t *testing.T) {
	for _, secret := range []string{"a secret", "a secret.", "a secret.."} { // each remainder by 3: of base64, too
		everyByteCounts(t, split(t, secret, 5, 3)[2].Encode())
	}
	whole := split(t, "a secret", 5, 3)[2].Encode()
	for sentence, text := range map[string]string{
		"nothing":     "",
		"another PEM": strings.ReplaceAll(string(whole), "WARIFU PIECE", "PRIVATE KEY"),
		"two":         string(whole) + string(whole),
		"headers":     strings.Replace(string(whole), "PIECE-----\n", "PIECE-----\nSet: 1\n\n", 1),
		"too long":    string(whole) + strings.Repeat(" ", pieces.MaxText),
		"cut":         string(whole[:len(whole)/2]),
	} {
		if _, err := pieces.Parse([]byte(text)); !errors.Is(err, pieces.ErrPiece) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := pieces.Parse([]byte("Keep this in the safe.\n\n" + string(whole) + "\nThank you.\n")); err != nil {
		t.Errorf("with words around it: %v", err)
	}
}

func TestWhatCannotBeSplit(t *testing.T) {
	for _, tt := range []struct {
		s    string
		n, m int
	}{{"", 5, 3}, {"x", 5, 1}, {"x", 5, 0}, {"x", 2, 3}, {"x", 256, 3}, {"x", 0, 0}, {"x", -1, -1}, {strings.Repeat("x", pieces.MaxSecret+1), 5, 3}} {
		if _, err := pieces.Split(rand.Reader, secret.New([]byte(tt.s)), tt.n, tt.m); !errors.Is(err, pieces.ErrSecret) {
			t.Errorf("%d bytes, %d of %d: %v", len(tt.s), tt.m, tt.n, err)
		}
	}
	if _, err := pieces.Split(strings.NewReader("short"), secret.New([]byte("x")), 3, 2); err == nil {
		t.Error("split without randomness")
	}
}

// A short secret cannot be guessed from what a piece says of it: the same secret
// has another commitment each time, and a piece prints no data.
func TestAPieceSaysNothingOfTheSecret(t *testing.T) {
	a, b := split(t, "7", 3, 2), split(t, "7", 3, 2)
	if a[0].Set().ID == b[0].Set().ID {
		t.Error("two sets of one secret have one id")
	}
	text := string(a[0].Encode())
	for _, printed := range []string{a[0].String(), fmt.Sprintf("%v %+v %#v", a[0], a[0], a[0])} {
		if !strings.HasPrefix(printed, "piece 1 of 3, any 2, set ") || len(printed) > 400 || strings.Contains(text, printed) {
			t.Errorf("%s", printed)
		}
	}
	p := a[0]
	p.Wipe()
	if _, err := pieces.Parse(p.Encode()); !errors.Is(err, pieces.ErrPiece) {
		t.Errorf("wiped, and still a piece: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range split(f, "a secret", 3, 2) {
		f.Add(p.Encode())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := pieces.Parse(text)
		if err != nil {
			if !errors.Is(err, pieces.ErrPiece) {
				t.Errorf("unnamed: %v", err)
			}
			return
		}
		again, err := pieces.Parse(p.Encode())
		if err != nil || again.Set() != p.Set() || again.Index() != p.Index() {
			t.Errorf("written again: %v", err)
		}
	})
}
