package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
)

// The identity key signs posts, receipts, anchors and checkpoints, and is the
// key of the node's TLS certificate. It rests sealed under an HSM key of its own.
const (
	identityName  = "identity.sealed"
	identityLabel = "identity"
	claimName     = "identity.claim" // the serial of the token, while an identity is made
)

// ErrIdentity means the identity does not open here: altered, another node's, or
// sealed by another token.
var ErrIdentity = errors.New("the node's identity does not open with this token")

// ErrTokenTaken means the token holds the identity of a node already: each node
// has a token of its own, or one would destroy the other's keys.
var ErrTokenTaken = errors.New("this token belongs to a node already")

const identityFormat = 1

type identityFile struct {
	Format uint32 `cbor:"1,keyasint"`
	Public []byte `cbor:"2,keyasint"` // 65 bytes
	Blob   []byte `cbor:"3,keyasint"` // PKCS#8, sealed
}

// identityAAD names no cluster: a node has its identity before it has one. Nor has an
// identity epochs or generations.
func identityAAD(node string, public []byte) []byte {
	return keyring.SealedAAD(api.ClusterID{}, node, "identity", 0, 0, public)
}

// createIdentity makes and seals the identity key of a new node, and lets ready
// see it before its file stands.
func createIdentity(random io.Reader, dir, node string, dev hsm.Device, ready func(*authority.Signer) error) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return fmt.Errorf("make the identity key: %w", err)
	}
	signer, err := authority.NewSigner(key)
	if err != nil {
		return err
	}
	public := authority.EncodePublicKey(&key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the identity key: %w", err)
	}
	plain := secret.New(der)
	defer plain.Wipe()
	if err := claimToken(dir, dev); err != nil {
		return err
	}
	if err := failpoint.Step("init/create-key", func() error { return dev.CreateKey(identityLabel) }); err != nil {
		return fmt.Errorf("make the sealing key of the identity: %w", err)
	}
	blob, err := dev.Seal(identityLabel, plain, identityAAD(node, public))
	if err != nil {
		err = fmt.Errorf("seal the identity key: %w", err)
	} else {
		err = ready(signer)
	}
	if err == nil {
		file := wire.Encode(identityFile{Format: identityFormat, Public: public, Blob: blob})
		err = failpoint.Step("init/write-identity", func() error { return keyring.WriteFile(nil, dir, identityName, file) })
	}
	if err != nil {
		return errors.Join(err, dev.DestroyKey(identityLabel)) // so that init can be run again
	}
	return keyring.RemoveFile(nil, dir, claimName)
}

// claimToken sees to it that the token has no identity. One that is there belongs
// to a node, unless an init of this very directory was cut off between the claim,
// which names the token and is written only while it has none, and the identity's
// file: then nothing was ever sealed for keeps by it.
func claimToken(dir string, dev hsm.Device) error {
	taken, err := dev.HasKey(identityLabel)
	if err != nil {
		return fmt.Errorf("look for an identity on the token: %w", err)
	}
	if !taken {
		return failpoint.Step("init/claim-token", func() error {
			return keyring.WriteFile(nil, dir, claimName, []byte(dev.Serial()))
		})
	}
	claim, err := keyring.ReadFile(dir, claimName)
	if errors.Is(err, os.ErrNotExist) || err == nil && string(claim) != dev.Serial() {
		return fmt.Errorf("%w: %w", ErrTokenTaken, hsm.ErrKeyExists)
	}
	if err != nil {
		return err
	}
	return dev.DestroyKey(identityLabel)
}

// readIdentity reads the file; its public half needs no token.
func readIdentity(dir string) (*identityFile, error) {
	raw, err := keyring.ReadFile(dir, identityName)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no identity: run warifud init: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	var f identityFile
	if err := wire.Decode(raw, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if f.Format != identityFormat {
		return nil, fmt.Errorf("%w: format %d", ErrIdentity, f.Format)
	}
	return &f, nil
}

func identityPublic(dir string) ([]byte, error) {
	f, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	return f.Public, nil
}

// openIdentity opens the identity key with the token.
func openIdentity(dir, node string, dev hsm.Device) (*ecdsa.PrivateKey, error) {
	f, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	plain, err := dev.Open(identityLabel, f.Blob, identityAAD(node, f.Public))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	defer plain.Wipe()
	parsed, err := x509.ParsePKCS8PrivateKey(plain.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: not a P-256 key", ErrIdentity)
	}
	return key, nil
}

// signMessage signs audit checkpoints: ECDSA over SHA-256 of the message, hedged.
func signMessage(key *ecdsa.PrivateKey) func([]byte) ([]byte, error) {
	return func(msg []byte) ([]byte, error) {
		digest := sha256.Sum256(msg)
		return ecdsa.SignASN1(rand.Reader, key, digest[:])
	}
}
