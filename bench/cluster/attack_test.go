package cluster_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"warifu.dev/api"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/hsm"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// loot is all that a node's directory, its token and its PIN give. It is taken
// from the files as crypto.md describes them, by none of the node's own code.
type loot struct {
	node        string
	identity    []byte // the private scalar
	root, salt  []byte
	rootIndex   sharing.Index
	ringKey     []byte
	key         []byte // the share of the named key
	keyIndex    sharing.Index
	endorsement []byte
}

// plunder opens everything that rests on a node that does not run.
func plunder(c *cluster.Cluster, id string, key api.KeyID) (_ *loot, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("plunder %s: %w", id, err)
		}
	}()
	module, err := softhsm.Module()
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(softhsm.ConfVariable, softhsm.Conf(c.TokenDir(id))); err != nil {
		return nil, err
	}
	device, err := pkcs11.Open(pkcs11.Config{Module: module, TokenLabel: id, PIN: secret.New([]byte(c.PIN(id)))})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	l := &loot{node: id}
	if err := l.takeIdentity(c.Dir(id), device); err != nil {
		return nil, err
	}
	cluster := c.Genesis().Cluster
	return l, l.takeShares(filepath.Join(c.Dir(id), "seal"), cluster, key, device)
}

func (l *loot) takeIdentity(dir string, device hsm.Device) error {
	var f struct {
		Format uint32 `cbor:"1,keyasint"`
		Public []byte `cbor:"2,keyasint"`
		Blob   []byte `cbor:"3,keyasint"`
	}
	if err := decodeFile(filepath.Join(dir, "identity.sealed"), &f); err != nil {
		return err
	}
	der, err := device.Open("identity", f.Blob, tag.List(tag.SealedBlob, make([]byte, 32), []byte(l.node), []byte("identity"), tag.Uint64(0), tag.Uint64(0), f.Public))
	if err != nil {
		return err
	}
	k, err := x509.ParsePKCS8PrivateKey(der.Reveal())
	if err != nil {
		return err
	}
	l.identity, err = k.(*ecdsa.PrivateKey).Bytes()
	return err
}

func (l *loot) takeShares(dir string, cluster api.ClusterID, key api.KeyID, device hsm.Device) error {
	var f struct {
		Format     uint32 `cbor:"1,keyasint"`
		Generation uint64 `cbor:"2,keyasint"`
		Epoch      uint64 `cbor:"3,keyasint"`
		Blob       []byte `cbor:"4,keyasint"`
	}
	if err := decodeFile(filepath.Join(dir, "root-1.sealed"), &f); err != nil {
		return err
	}
	node, g := []byte(l.node), tag.Uint64(f.Generation)
	plain, err := device.Open("root.1", f.Blob, tag.List(tag.SealedBlob, cluster[:], node, []byte("root"), tag.Uint64(f.Epoch), g, nil))
	if err != nil {
		return err
	}
	var root struct {
		Session api.Digest `cbor:"1,keyasint"`
		Index   uint32     `cbor:"2,keyasint"`
		Share   []byte     `cbor:"3,keyasint"`
		Salt    []byte     `cbor:"4,keyasint"`
	}
	if err := wire.Decode(plain.Reveal(), &root); err != nil {
		return err
	}
	l.root, l.salt, l.rootIndex = root.Share, root.Salt, sharing.Index(root.Index)
	if l.ringKey, err = hkdf.Key(sha256.New, root.Share, root.Salt, string(tag.List(tag.KeyringKey, cluster[:], node, g)), 32); err != nil {
		return err
	}
	block, err := aes.NewCipher(l.ringKey)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "keyring-1.sealed"))
	if err != nil {
		return err
	}
	ring, err := aead.Open(nil, nil, sealed, tag.List(tag.KeyringBlob, cluster[:], node, tag.Uint64(f.Epoch), g))
	if err != nil {
		return err
	}
	var shares struct {
		Format uint32 `cbor:"1,keyasint"`
		Shares []struct {
			Key         api.KeyID  `cbor:"1,keyasint"`
			Version     uint32     `cbor:"2,keyasint"`
			Epoch       uint64     `cbor:"3,keyasint"`
			Index       uint32     `cbor:"4,keyasint"`
			Scalar      []byte     `cbor:"5,keyasint"`
			Endorsement []byte     `cbor:"6,keyasint"`
			Session     api.Digest `cbor:"7,keyasint"`
			Opened      uint64     `cbor:"8,keyasint,omitempty"`
		} `cbor:"2,keyasint,omitempty"`
	}
	if err := wire.Decode(ring, &shares); err != nil {
		return err
	}
	for _, s := range shares.Shares {
		if s.Key == key {
			l.key, l.keyIndex, l.endorsement = s.Scalar, sharing.Index(s.Index), s.Endorsement
			return nil
		}
	}
	return errors.New("no share of the key")
}

func decodeFile(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return wire.Decode(b, v)
}

// interpolate returns the secret that the shares would determine if they were
// enough of them.
func interpolate(indices []sharing.Index, shares [][]byte) (*group.Scalar, error) {
	lambda, err := sharing.Lagrange(indices)
	if err != nil {
		return nil, err
	}
	sum := group.SmallScalar(0)
	for i, b := range shares {
		x, err := group.DecodeScalar(b)
		if err != nil {
			return nil, err
		}
		sum = sum.Add(lambda[i].Mul(x))
	}
	return sum, nil
}

func rootOf(loots []*loot) (*group.Scalar, error) {
	var indices []sharing.Index
	var shares [][]byte
	for _, l := range loots {
		indices, shares = append(indices, l.rootIndex), append(shares, l.root)
	}
	return interpolate(indices, shares)
}

func keyOf(loots []*loot) (*group.Scalar, error) {
	var indices []sharing.Index
	var shares [][]byte
	for _, l := range loots {
		indices, shares = append(indices, l.keyIndex), append(shares, l.key)
	}
	return interpolate(indices, shares)
}

// attack opens an envelope with what was taken from some nodes, if that can be
// done: it interpolates the private key as if there were enough shares, and uses
// it in the place of every share.
func attack(key *client.Key, loots []*loot, envelope []byte, context api.Context) ([]byte, error) {
	r := key.Record()
	y, err := group.DecodePoint(r.Y)
	if err != nil {
		return nil, err
	}
	pk, err := tdh2.NewPublicKey(r.Cluster, r.Key, r.Version, key.Threshold(), len(key.Holders()), y)
	if err != nil {
		return nil, err
	}
	e, err := tdh2.Parse(envelope)
	if err != nil {
		return nil, err
	}
	v, err := pk.Verify(e, context.Canonical())
	if err != nil {
		return nil, err
	}
	x, err := keyOf(loots)
	if err != nil {
		return nil, err
	}
	partials := map[sharing.Index]*group.Point{}
	for i := range key.Threshold() { // a constant polynomial has the same value everywhere
		partials[sharing.Index(i+1)] = v.Partial(x)
	}
	dek, err := pk.Open(v, partials)
	if err != nil {
		return nil, err
	}
	if !group.BaseMul(x).Equal(y) {
		return nil, errors.New("opened by a key that is not the key")
	}
	return dek.Reveal(), nil
}

// subsets are all choices of n of the loots.
func subsets(loots []*loot, n int) [][]*loot {
	if n == 0 {
		return [][]*loot{nil}
	}
	var out [][]*loot
	for i := range loots {
		for _, rest := range subsets(loots[i+1:], n-1) {
			out = append(out, append([]*loot{loots[i]}, rest...))
		}
	}
	return out
}

func names(loots []*loot) (s string) {
	for _, l := range loots {
		s += " " + l.node
	}
	return s
}

// checkAttack holds P1 and P8 against the files: no two nodes open anything, and
// any three do, so that the attack is known to work.
func checkAttack(t *testing.T, key *client.Key, loots []*loot, envelope []byte, context api.Context, dek []byte) {
	t.Helper()
	for _, two := range subsets(loots, key.Threshold()-1) {
		if _, err := attack(key, two, envelope, context); !errors.Is(err, tdh2.ErrNotOpened) {
			t.Errorf("the directories, tokens and PINs of%s: %v, want %v", names(two), err, tdh2.ErrNotOpened)
		}
	}
	for _, three := range subsets(loots, key.Threshold()) {
		got, err := attack(key, three, envelope, context)
		if err != nil || !bytes.Equal(got, dek) {
			t.Errorf("the attack with%s does not work: %v", names(three), err)
		}
	}
}
