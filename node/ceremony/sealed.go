package ceremony

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
)

// ErrSealed means that a file is not the sealed state of this session.
var ErrSealed = errors.New("ceremony: not the sealed state of this session")

// sealed is how the state of a session rests. A token seals 64 KiB at once, and a
// batch of 100 keys has more, its deal above all: so the token seals a key that is made
// for each writing, and the key seals the state. With the session's key in the token
// both are gone.
type sealed struct {
	Key   []byte `cbor:"1,keyasint"` // of 32 bytes, sealed by the token
	State []byte `cbor:"2,keyasint"` // AES-256-GCM with a random nonce; the associated data of Key once more
}

const stateKeySize = 32

// sealState seals a state for the file of session id.
func (d *Driver) sealState(id api.Digest, state secret.Bytes) ([]byte, error) {
	raw := make([]byte, stateKeySize)
	key := secret.New(raw)
	defer key.Wipe()
	if _, err := io.ReadFull(d.cfg.Rand, raw); err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	aead, err := stateCipher(key)
	if err != nil {
		return nil, err
	}
	blob, err := d.cfg.Device.Seal(hsmLabel(id), key, d.aad(id))
	if err != nil {
		return nil, err
	}
	return wire.Encode(sealed{Key: blob, State: aead.Seal(nil, nil, state.Reveal(), d.aad(id))}), nil
}

// openState opens what sealState sealed. The caller wipes it.
func (d *Driver) openState(id api.Digest, file []byte) (secret.Bytes, error) {
	var s sealed
	if err := wire.Decode(file, &s); err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if len(s.Key) != stateKeySize+hsm.Overhead {
		return secret.Bytes{}, fmt.Errorf("%w: a key of %d bytes", ErrSealed, len(s.Key))
	}
	key, err := d.cfg.Device.Open(hsmLabel(id), s.Key, d.aad(id))
	if err != nil {
		return secret.Bytes{}, err
	}
	defer key.Wipe()
	aead, err := stateCipher(key)
	if err != nil {
		return secret.Bytes{}, err
	}
	state, err := aead.Open(nil, nil, s.State, d.aad(id))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return secret.New(state), nil
}

func stateCipher(key secret.Bytes) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("session cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
