package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"warifu.dev/internal/tag"
)

// A root share that custodians have to open is under the node's unseal secret, and
// that is inside what the token seals: whoever has the token and its PIN finds this:
//
//	nonce 12 ‖ AES-256-GCM(HKDF(unseal secret), root share and salt) ‖ tag 16
//
// Nobody but m custodians has the secret while the node is sealed; the node itself
// forgets it when the seal is open.

func lock(cfg Config, plain []byte, epoch, g uint64) ([]byte, error) {
	aead, err := lockAEAD(cfg, g)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, rootAAD(cfg, epoch, g)), nil
}

func unlock(cfg Config, locked []byte, epoch, g uint64) ([]byte, error) {
	aead, err := lockAEAD(cfg, g)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, locked, rootAAD(cfg, epoch, g))
	if err != nil {
		return nil, fmt.Errorf("%w: the unseal secret is not that of generation %d", ErrOpen, g)
	}
	return plain, nil
}

func lockAEAD(cfg Config, g uint64) (cipher.AEAD, error) {
	info := tag.List(tag.UnsealShare, cfg.Cluster[:], []byte(cfg.Node), tag.Uint64(g))
	key, err := hkdf.Key(sha256.New, cfg.Unseal.Reveal(), nil, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key under an unseal secret: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cipher under an unseal secret: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
