// Package plunder takes what a thief of disks and tokens takes: the shares that rest on a
// node, read from its files as their format is written down, and by none of the node's
// own code. For tests.
package plunder

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// Node is whose disk it is.
type Node struct {
	Cluster api.ClusterID
	ID      string
}

// Root is what the seal of one generation holds.
type Root struct {
	Generation  uint64
	Index       sharing.Index
	Share, Salt []byte
}

// Share is what a keyring holds of one key, in one epoch.
type Share struct {
	Key         api.KeyID
	Version     uint32
	Epoch       uint64
	Index       sharing.Index
	Endorsement []byte
	Scalar      []byte      // of a symmetric key none
	Sets        *tprf.Share // of a symmetric key, else nil
}

// sealed is the file of a seal.
type sealed struct {
	Format     uint32 `cbor:"1,keyasint"`
	Generation uint64 `cbor:"2,keyasint"`
	Epoch      uint64 `cbor:"3,keyasint"`
	Blob       []byte `cbor:"4,keyasint"`
	Locked     bool   `cbor:"5,keyasint,omitempty"`
}

// seals are those in a directory, by the names of their files.
func seals(dir string) (map[string]sealed, error) {
	names, err := filepath.Glob(filepath.Join(dir, "root-*.sealed"))
	if err != nil {
		return nil, err
	}
	out := map[string]sealed{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var f sealed
		if err := wire.Decode(b, &f); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out[name] = f
	}
	return out, nil
}

// Roots are what the seals in a directory hold that a token opens, with any of its keys.
func (n Node) Roots(dir string, token hsm.Device) (out []Root, err error) {
	all, err := seals(dir)
	if err != nil {
		return nil, err
	}
	labels, err := token.Labels()
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		aad := tag.List(tag.SealedBlob, n.Cluster[:], []byte(n.ID), []byte("root"), tag.Uint64(f.Epoch), tag.Uint64(f.Generation), nil)
		for _, label := range labels {
			plain, err := token.Open(label, f.Blob, aad)
			if errors.Is(err, hsm.ErrOpen) {
				continue
			}
			if err != nil {
				return nil, err
			}
			var root struct {
				Session api.Digest `cbor:"1,keyasint"`
				Index   uint32     `cbor:"2,keyasint"`
				Share   []byte     `cbor:"3,keyasint"`
				Salt    []byte     `cbor:"4,keyasint"`
			}
			if err := wire.Decode(plain.Reveal(), &root); err != nil {
				return nil, fmt.Errorf("what the seal of generation %d holds: %w", f.Generation, err)
			}
			out = append(out, Root{f.Generation, sharing.Index(root.Index), root.Share, root.Salt})
		}
	}
	return out, nil
}

// KeyringKey is the key of the keyring of a generation, made of a root share and a salt.
func (n Node) KeyringKey(share, salt []byte, generation uint64) ([]byte, error) {
	return hkdf.Key(sha256.New, share, salt, string(tag.List(tag.KeyringKey, n.Cluster[:], []byte(n.ID), tag.Uint64(generation))), 32)
}

// Shares are what the keyrings in a directory hold that open with any of these root
// shares and any of these salts, also those of other generations.
func (n Node) Shares(dir string, roots []Root) (out []Share, err error) {
	all, err := seals(dir)
	if err != nil {
		return nil, err
	}
	for name, f := range all {
		ring, err := os.ReadFile(filepath.Join(dir, strings.Replace(filepath.Base(name), "root-", "keyring-", 1)))
		if err != nil {
			return nil, err
		}
		aad := tag.List(tag.KeyringBlob, n.Cluster[:], []byte(n.ID), tag.Uint64(f.Epoch), tag.Uint64(f.Generation))
		for _, share := range roots {
			for _, salt := range roots {
				key, err := n.KeyringKey(share.Share, salt.Salt, f.Generation)
				if err != nil {
					return nil, err
				}
				block, err := aes.NewCipher(key)
				if err != nil {
					return nil, err
				}
				aead, err := cipher.NewGCMWithRandomNonce(block)
				if err != nil {
					return nil, err
				}
				plain, err := aead.Open(nil, nil, ring, aad)
				if err != nil {
					continue
				}
				some, err := read(plain)
				if err != nil {
					return nil, fmt.Errorf("what the keyring of generation %d holds: %w", f.Generation, err)
				}
				out = append(out, some...)
			}
		}
	}
	return out, nil
}

// read is what a keyring holds once it is open.
func read(plain []byte) (out []Share, err error) {
	var ring struct {
		Format uint32 `cbor:"1,keyasint"`
		Shares []struct {
			Key         api.KeyID  `cbor:"1,keyasint"`
			Version     uint32     `cbor:"2,keyasint"`
			Epoch       uint64     `cbor:"3,keyasint"`
			Index       uint32     `cbor:"4,keyasint"`
			Scalar      []byte     `cbor:"5,keyasint,omitempty"`
			Endorsement []byte     `cbor:"6,keyasint"`
			Session     api.Digest `cbor:"7,keyasint"`
			Opened      uint64     `cbor:"8,keyasint,omitempty"`
			T           int        `cbor:"9,keyasint,omitempty"`
			H           int        `cbor:"10,keyasint,omitempty"`
			Sets        []byte     `cbor:"11,keyasint,omitempty"`
		} `cbor:"2,keyasint,omitempty"`
	}
	if err := wire.Decode(plain, &ring); err != nil {
		return nil, err
	}
	for _, one := range ring.Shares {
		s := Share{Key: one.Key, Version: one.Version, Epoch: one.Epoch, Index: sharing.Index(one.Index), Endorsement: one.Endorsement, Scalar: one.Scalar}
		if len(one.Sets) > 0 {
			if s.Sets, err = tprf.NewShare(sharing.Params{T: one.T, H: one.H}, s.Index, secret.New(one.Sets)); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}
