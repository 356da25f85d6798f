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

// Endorsement is what one node says of an envelope under a context: that it has verified
// it and released a partial for it. Only [Endorse] makes one.
type Endorsement struct {
	mac [EndorsementSize]byte
	of  *AddressedEnvelope // nil if the envelope does not say that it is for the key
}

// Endorse makes what notes that this node has verified e under this context and released
// a partial for it, so that [Endorsement.Accept] may skip the proof next time: it is
// memoised verification. key is random, of one node and one epoch, and is erased
// with the epoch; any length but [EndorsementKeySize] is a bug and panics, since
// under an empty key everybody could endorse. context is the one the gate decides on; the label is
// recomputed from it, or a stolen envelope of context A would open under B.
//
// It may leave the node only after [PublicKey.Verify] and together with a release. The
// same bytes key the node's cache of checked envelopes.
func Endorse(key secret.Bytes, node string, pk *PublicKey, context []byte, e *Envelope) *Endorsement {
	if key.Len() != EndorsementKeySize {
		panic("tdh2: endorse with a key that is not of 32 bytes")
	}
	label := pk.label(context)
	mac := hmac.New(sha256.New, key.Reveal())
	tag.Write(mac, tag.Endorsement, tag.Uint64(verifierVersion), pk.Cluster[:], []byte(node),
		pk.KeyID[:], uint32Bytes(pk.Version), label[:], e.raw)
	var sum [sha256.Size]byte
	m := &Endorsement{mac: [EndorsementSize]byte(mac.Sum(sum[:0]))}
	if pk.names(e) == nil {
		m.of = &AddressedEnvelope{e: e, pk: pk, label: label}
	}
	return m
}

// MAC is what travels, and what is remembered.
func (m *Endorsement) MAC() [EndorsementSize]byte { return m.mac }

// Accept returns the envelope as verified if given is [Endorsement.MAC] of an earlier time,
// for the very same values. It compares in constant time. A miss, of whatever kind, is
// false: it means a full check, never an error.
func (m *Endorsement) Accept(given []byte) (*VerifiedEnvelope, bool) {
	if m.of == nil || !hmac.Equal(m.mac[:], given) {
		return nil, false
	}
	return &VerifiedEnvelope{*m.of}, true
}
