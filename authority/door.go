package authority

import (
	"io"

	"warifu.dev/internal/tag"
)

// SignDoor signs, as a node, the key to which custodians may hand their pieces of
// its seal: parts are those of sharing/unseal.Signed. It returns the signature, ASN.1.
func SignDoor(rand io.Reader, s *Signer, parts ...[]byte) ([]byte, error) {
	sig, err := s.Sign(rand, tag.UnsealDoor, parts...)
	return sig.ASN1, err
}

// VerifyDoor checks [SignDoor]'s signature under a node's identity key.
func VerifyDoor(key, signature []byte, parts ...[]byte) error {
	sig := Signature{Signer: FingerprintOf(key), ASN1: signature}
	return sig.Verify(key, tag.UnsealDoor, parts...)
}
