// Package spoken says a digest in words that can be read over the telephone, and
// reads them back.
//
// It is the mnemonic of BIP-39 for 256 bits: 24 words of 11 bits each, of a list of
// 2,048 in which the first four letters tell each word from all others; the last 8
// bits are a checksum, so that 255 of 256 slips of the ear are noticed. The words say the
// digest and nothing else: they are no secret, and no wallet's seed.
//
// Why all 24. Who finds another document with the same digest breaks SHA-256. Six
// words, 66 bits, would do against a stranger. Whoever writes a document, though,
// can write two, and looks for any pair that agrees: for six words that takes some
// 2^33 tries, minutes, and then two custodians sign different things that sound alike.
package spoken

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"strings"
)

// Words is how many words say a digest.
const Words = 24

// ErrWords is returned, wrapped, for words that say no digest.
var ErrWords = errors.New("not the 24 words of a digest")

// english is the English word list of BIP-39, sorted; its licence is in
// LICENSE-english.txt.
//
//go:embed english.txt
var english string

var list = strings.Fields(english)

var number = func() map[string]int {
	m := map[string]int{}
	for i, w := range list {
		m[w] = i
	}
	return m
}()

// Say returns the words of a digest.
func Say(digest [32]byte) []string {
	sum := sha256.Sum256(digest[:])
	bits := append(digest[:len(digest):len(digest)], sum[0])
	var words []string
	held, n := 0, 0
	for _, b := range bits {
		held, n = held<<8|int(b), n+8
		if n >= 11 {
			n -= 11
			words = append(words, list[held>>n])
			held &= 1<<n - 1
		}
	}
	return words
}

// Parse reads what [Say] returned, in any case and with any space between. A word
// may be cut to its first four letters or more. Failures wrap [ErrWords].
func Parse(s string) ([32]byte, error) {
	words := strings.Fields(strings.ToLower(s))
	if len(words) != Words {
		return [32]byte{}, fmt.Errorf("%w: there are %d", ErrWords, len(words))
	}
	var bits []byte
	held, n := 0, 0
	for i, w := range words {
		at, ok := find(w)
		if !ok {
			return [32]byte{}, fmt.Errorf("%w: number %d is not on the list", ErrWords, i+1)
		}
		held, n = held<<11|at, n+11
		for n >= 8 {
			n -= 8
			bits = append(bits, byte(held>>n))
			held &= 1<<n - 1
		}
	}
	digest := [32]byte(bits)
	if sum := sha256.Sum256(digest[:]); bits[32] != sum[0] {
		return [32]byte{}, fmt.Errorf("%w: the checksum does not fit, so one of them is another", ErrWords)
	}
	return digest, nil
}

// find returns a word's place on the list.
func find(word string) (int, bool) {
	if at, ok := number[word]; ok {
		return at, true
	}
	if len(word) < 4 {
		return 0, false
	}
	for i, w := range list {
		if strings.HasPrefix(w, word) {
			return i, true
		}
	}
	return 0, false
}
