package spoken_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/spoken"
)

//go:embed english.txt
var english string

// The list is BIP-39's, byte by byte, and four letters tell a word.
func TestTheListIsTheOneOfBIP39(t *testing.T) {
	const want = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda" // sha256sum english.txt
	if sum := sha256.Sum256([]byte(english)); hex.EncodeToString(sum[:]) != want {
		t.Errorf("another list: %x", sum)
	}
	seen := map[string]bool{}
	for _, w := range strings.Fields(english) {
		if head := w[:min(4, len(w))]; seen[head] {
			t.Errorf("%s is another's, too", head)
		} else {
			seen[head] = true
		}
	}
	if len(seen) != 2048 {
		t.Errorf("%d words", len(seen))
	}
}

// The vectors of 256 bits in vectors.json of the reference implementation of BIP-39.
func TestVectorsOfBIP39(t *testing.T) {
	for b, want := range map[byte]string{
		0x00: strings.Repeat("abandon ", 23) + "art",
		0x7f: strings.Repeat("legal winner thank year wave sausage worth useful ", 2) + "legal winner thank year wave sausage worth title",
		0x80: strings.Repeat("letter advice cage absurd amount doctor acoustic avoid ", 2) + "letter advice cage absurd amount doctor acoustic bless",
		0xff: strings.Repeat("zoo ", 23) + "vote",
	} {
		digest := [32]byte(bytes.Repeat([]byte{b}, 32))
		if got := strings.Join(spoken.Say(digest), " "); got != want {
			t.Errorf("%x: %s", b, got)
		}
		if got, err := spoken.Parse(want); err != nil || got != digest {
			t.Errorf("%x: %x, %v", b, got, err)
		}
	}
}

// Words parse back, whole, cut to four letters, or shouted; other digests have other
// words; and what is changed in one word is another digest, or none.
func TestWordsAreTheDigest(t *testing.T) {
	digests := rapid.Custom(func(t *rapid.T) [32]byte {
		return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := digests.Draw(t, "a"), digests.Draw(t, "b")
		words := spoken.Say(a)
		if len(words) != spoken.Words {
			t.Fatalf("%d words", len(words))
		}
		for _, s := range []string{strings.Join(words, " "), strings.ToUpper(strings.Join(words, "\n  "))} {
			if got, err := spoken.Parse(s); err != nil || got != a {
				t.Fatalf("%x, %v", got, err)
			}
		}
		if same := strings.Join(words, " ") == strings.Join(spoken.Say(b), " "); same != (a == b) {
			t.Fatalf("%x and %x sound alike: %v", a, b, same)
		}
		flip := rapid.IntRange(0, 255).Draw(t, "bit")
		b = a
		b[flip/8] ^= 1 << (flip % 8)
		if other := spoken.Say(b); strings.Join(other, " ") == strings.Join(words, " ") {
			t.Fatalf("bit %d is not said", flip)
		}
		for i, w := range words {
			words[i] = w[:min(4, len(w))]
		}
		if got, err := spoken.Parse(strings.Join(words, " ")); err != nil || got != a {
			t.Fatalf("cut to four letters: %x, %v", got, err)
		}
	})
}

func TestWordsThatSayNoDigest(t *testing.T) {
	good := strings.Repeat("abandon ", 23) + "art"
	for name, s := range map[string]string{
		"no words":             "",
		"one too few":          strings.Repeat("abandon ", 22) + "art",
		"one too many":         good + " art",
		"a word of no list":    strings.Replace(good, "abandon", "warifu", 1),
		"three letters":        strings.Replace(good, "abandon", "aba", 1),
		"a checksum that errs": strings.Repeat("abandon ", 23) + "zoo",
		"a word misheard":      strings.Replace(good, "abandon", "ability", 1),
		"digits":               strings.Repeat("00", 32),
	} {
		if got, err := spoken.Parse(s); !errors.Is(err, spoken.ErrWords) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(strings.Repeat("abandon ", 23) + "art")
	f.Add("zoo")
	f.Fuzz(func(t *testing.T, s string) {
		digest, err := spoken.Parse(s)
		if err != nil {
			return
		}
		if again, err := spoken.Parse(strings.Join(spoken.Say(digest), " ")); err != nil || again != digest {
			t.Errorf("%x, %v", again, err)
		}
	})
}
