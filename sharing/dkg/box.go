package dkg

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// Sub-shares travel in HPKE (RFC 9180), base mode, with the hybrid of ML-KEM-768
// and P-256 (draft-ietf-hpke-pq), HKDF-SHA256 and AES-256-GCM. A box is
//
//	encapsulation, 1153 bytes ‖ sealed sub-shares, 32 bytes per key of the batch ‖ tag, 16 bytes
//
// At the birth of a symmetric key it has a contribution of 32 bytes for each set that
// dealer and recipient are both members of, in the place of the sub-shares; at its import
// one for each set of the recipient.
const (
	// ReceiveKeySize is the length of a public receive key.
	ReceiveKeySize = 1249
	// ReceiveSecretSize is the length of a private receive key.
	ReceiveSecretSize = 32

	encapsulationSize = 1153
)

// BoxSize is the length of a box of n sub-shares. All of a dealer for one recipient
// are in one, so that a complaint settles them together, and none after a bad one is
// in doubt (R43).
func BoxSize(n int) int { return encapsulationSize + n*group.ScalarSize + 16 }

// boxSize is the length of the box that dealer sends to recipient.
func (s Session) boxSize(dealer, recipient sharing.Index) int {
	switch {
	case !s.sendsBox(dealer, recipient):
		return 0
	case s.Symmetric != nil:
		return BoxSize(len(s.sent(dealer, recipient)))
	}
	return BoxSize(s.N)
}

// ErrReceiveKey means that bytes are not a receive key, or not the one that was posted.
var ErrReceiveKey = errors.New("dkg: not the receive key that stands here")

// errBox means that a box does not open. It decides a complaint and goes no further.
var errBox = errors.New("dkg: the box does not open")

func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768P256(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

func decodeReceiveKey(b []byte) (hpke.PublicKey, error) {
	kem, _, _ := suite()
	if len(b) != ReceiveKeySize {
		return nil, fmt.Errorf("decode a receive key of %d bytes: %w", len(b), ErrReceiveKey)
	}
	k, err := kem.NewPublicKey(b)
	if err != nil || !bytes.Equal(k.Bytes(), b) {
		return nil, fmt.Errorf("decode a receive key: %w", ErrReceiveKey)
	}
	return k, nil
}

func decodeReceiveSecret(b []byte) (hpke.PrivateKey, error) {
	kem, _, _ := suite()
	if len(b) != ReceiveSecretSize {
		return nil, fmt.Errorf("decode a private receive key of %d bytes: %w", len(b), ErrReceiveKey)
	}
	k, err := kem.NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("decode a private receive key: %w", ErrReceiveKey)
	}
	return k, nil
}

func boxInfo() []byte { return tag.List(tag.DealBox) }

// boxAAD names who sends what to whom, where (R8).
func boxAAD(s Session, dealer, recipient sharing.Index) []byte {
	return tag.List(tag.DealBox, s.bind(indexBytes(dealer), indexBytes(recipient))...)
}

// sealBox seals one sub-share for each key of the batch.
func sealBox(s Session, dealer, recipient sharing.Index, receiveKey []byte, subShares []*group.Scalar) ([]byte, error) {
	plain := make([]byte, 0, len(subShares)*group.ScalarSize)
	defer func() { clear(plain) }()
	for _, x := range subShares {
		b := x.Bytes()
		plain = append(plain, b...)
		clear(b)
	}
	return sealBytes(s, dealer, recipient, receiveKey, plain)
}

// sealBytes makes a box. It is not deterministic: crypto/hpke draws its own randomness.
func sealBytes(s Session, dealer, recipient sharing.Index, receiveKey, plain []byte) ([]byte, error) {
	pk, err := decodeReceiveKey(receiveKey)
	if err != nil {
		return nil, err
	}
	_, kdf, aead := suite()
	enc, sender, err := hpke.NewSender(pk, kdf, aead, boxInfo())
	if err != nil {
		return nil, fmt.Errorf("seal sub-shares for holder %d: %w", recipient, err)
	}
	sealed, err := sender.Seal(boxAAD(s, dealer, recipient), plain)
	if err != nil {
		return nil, fmt.Errorf("seal sub-shares for holder %d: %w", recipient, err)
	}
	return append(enc, sealed...), nil
}

// openBox returns one sub-share for each key of the batch.
func openBox(s Session, dealer, recipient sharing.Index, sk hpke.PrivateKey, box []byte) ([]*group.Scalar, error) {
	plain, err := openBytes(s, dealer, recipient, sk, box)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	list := make([]*group.Scalar, s.N)
	for k := range list {
		if list[k], err = group.DecodeScalar(plain[k*group.ScalarSize : (k+1)*group.ScalarSize]); err != nil {
			wipe(list[:k])
			return nil, fmt.Errorf("open the box of dealer %d: %w: %w", dealer, errBox, err)
		}
	}
	return list, nil
}

// openBytes opens a box, whose size it checks. The caller wipes what was in it.
func openBytes(s Session, dealer, recipient sharing.Index, sk hpke.PrivateKey, box []byte) ([]byte, error) {
	if len(box) != s.boxSize(dealer, recipient) {
		return nil, fmt.Errorf("open a box of %d bytes: %w", len(box), errBox)
	}
	_, kdf, aead := suite()
	r, err := hpke.NewRecipient(box[:encapsulationSize], sk, kdf, aead, boxInfo())
	if err != nil {
		return nil, fmt.Errorf("open the box of dealer %d: %w: %w", dealer, errBox, err)
	}
	plain, err := r.Open(boxAAD(s, dealer, recipient), box[encapsulationSize:])
	if err != nil {
		return nil, fmt.Errorf("open the box of dealer %d: %w: %w", dealer, errBox, err)
	}
	return plain, nil
}

// wipe overwrites secrets that are done with; nil entries are passed over.
func wipe(list []*group.Scalar) {
	for _, x := range list {
		if x != nil {
			x.Wipe()
		}
	}
}
