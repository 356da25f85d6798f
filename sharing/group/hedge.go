package group

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"

	"warifu.dev/internal/tag"
)

// hedgeFresh is how many bytes of fresh randomness enter a hedged scalar.
const hedgeFresh = 32

// HedgedScalar makes a secret nonzero scalar, for a nonce, that stays secret and
// does not repeat even if rand does: the draws are an HMAC-SHA256 stream whose
// key comes from key, a secret of the caller, and whose input is fresh
// randomness and all of inputs. Two calls give one scalar only if everything is
// the same, and then the proof made with it is the same too. With good
// randomness it is uniform whatever the key (after draft-irtf-cfrg-det-sigs-with-noise).
//
// inputs must hold everything that the caller's challenge will depend on.
func HedgedScalar(rand io.Reader, t tag.Tag, key []byte, inputs ...[]byte) (*Scalar, error) {
	var fresh [hedgeFresh]byte
	defer clear(fresh[:])
	if _, err := io.ReadFull(rand, fresh[:]); err != nil {
		return nil, fmt.Errorf("make a hedged scalar: read randomness: %w", err)
	}
	derived := tag.Hash(t, []byte("key"), key)
	defer clear(derived[:])
	mac := hmac.New(sha256.New, derived[:])
	tag.Write(mac, t, append([][]byte{[]byte("seed"), fresh[:]}, inputs...)...)
	seed := mac.Sum(nil)
	defer clear(seed)
	counter := uint64(0)
	return sample(func(b []byte) error {
		mac := hmac.New(sha256.New, seed)
		tag.Write(mac, t, []byte("draw"), tag.Uint64(counter))
		mac.Sum(b[:0])
		counter++
		return nil
	})
}
