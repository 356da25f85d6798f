package custodian

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"warifu.dev/sharing/opening"
)

// ErrToken means that the keys of a token are not those of a custodian.
var ErrToken = errors.New("these are not the two keys of a custodian, which are different and on P-256")

// InToken is the custodian whose keys a token holds: one signs, the other is asked for
// one shared point for each box that it opens. It fails with [ErrName] and [ErrToken].
func InToken(name string, sign crypto.Signer, open ecdh.KeyExchanger) (*Custodian, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	public, ok := sign.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: the signing key of %s", ErrToken, name)
	}
	point, err := public.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: the signing key of %s: %w", ErrToken, name, err)
	}
	identity, err := opening.NewIdentity(open)
	if err != nil {
		return nil, fmt.Errorf("%w: the opening key of %s: %w", ErrToken, name, err)
	}
	if bytes.Equal(point, open.PublicKey().Bytes()) { // R16
		return nil, fmt.Errorf("%w: %s signs and opens with one", ErrToken, name)
	}
	return &Custodian{name: name, sign: sign, open: identity, recipient: identity.Recipient()}, nil
}
