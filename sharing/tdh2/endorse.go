package tdh2

import (
	"crypto/hmac"
	"crypto/sha256"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
)

const (
	// EndorsementSize is the length of an endorsement.
	EndorsementSize = 16
	// EndorsementKeySize is the length of the key it is made with.
	EndorsementKeySize = 32
)

// verifierVersion grows whenever [PublicKey.Verify] begins to refuse something it
// took before: endorsements of the older rule then miss.
const verifierVersion = 1

// Endorse notes that this node has verified e under this context and released a
// partial for it, so that [CheckEndorsement] may skip the proof next time: it is
// memoised verification. key is random, of one node and one epoch, and is erased
// with the epoch; any length but [EndorsementKeySize] is a bug and panics, since
// under an empty key everybody could endorse. context is the one the gate decides on; the label is
// recomputed from it, or a stolen envelope of context A would open under B.
//
// It may leave the node only after [PublicKey.Verify] and together with a release. The
// same bytes key the node's cache of checked envelopes.
func Endorse(key secret.Bytes, node string, pk *PublicKey, context []byte, e *Envelope) [EndorsementSize]byte {
	if key.Len() != EndorsementKeySize {
		panic("tdh2: endorse with a key that is not of 32 bytes")
	}
	label := pk.label(context)
	mac := hmac.New(sha256.New, key.Reveal())
	tag.Write(mac, tag.Endorsement, tag.Uint64(verifierVersion), pk.Cluster[:], []byte(node),
		pk.KeyID[:], uint32Bytes(pk.Version), label[:], e.raw)
	return [EndorsementSize]byte(mac.Sum(nil)[:EndorsementSize])
}

// CheckEndorsement returns the envelope as verified if endorsement is what
// [Endorse] gave for the very same values. It compares in constant time. A miss,
// of whatever kind, is false: it means a full check, never an error.
func CheckEndorsement(key secret.Bytes, node string, pk *PublicKey, context []byte, e *Envelope, endorsement []byte) (*VerifiedEnvelope, bool) {
	want := Endorse(key, node, pk, context, e)
	a, err := pk.Address(e, context)
	if err != nil || !hmac.Equal(want[:], endorsement) {
		return nil, false
	}
	return &VerifiedEnvelope{*a}, true
}
