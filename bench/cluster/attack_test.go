package cluster_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/hsm"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/plunder"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// loot is all that a node's directory, its token and its PIN give.
type loot struct {
	node       string
	identity   []byte // the private scalar
	root, salt []byte
	rootIndex  sharing.Index
	ringKey    []byte
	shares     []plunder.Share // of the named keys, in their order
}

// take opens everything that rests on a node that does not run.
func take(c *cluster.Cluster, id string, keys ...api.KeyID) (_ *loot, err error) {
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
	return l, l.takeShares(filepath.Join(c.Dir(id), "seal"), cluster, keys, device)
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

func (l *loot) takeShares(dir string, cluster api.ClusterID, keys []api.KeyID, device hsm.Device) error {
	node := plunder.Node{Cluster: cluster, ID: l.node}
	roots, err := node.Roots(dir, device)
	if err != nil {
		return err
	}
	if len(roots) != 1 {
		return fmt.Errorf("%d seals open", len(roots))
	}
	r := roots[0]
	l.root, l.salt, l.rootIndex = r.Share, r.Salt, r.Index
	if l.ringKey, err = node.KeyringKey(r.Share, r.Salt, r.Generation); err != nil {
		return err
	}
	shares, err := node.Shares(dir, roots)
	if err != nil {
		return err
	}
	for _, key := range keys {
		i := slices.IndexFunc(shares, func(s plunder.Share) bool { return s.Key == key })
		if i < 0 {
			return fmt.Errorf("no share of the key %s", key)
		}
		l.shares = append(l.shares, shares[i])
	}
	return nil
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
		indices, shares = append(indices, l.shares[0].Index), append(shares, l.shares[0].Scalar)
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

// attackSymmetric opens an item with the keys of the sets that some nodes are members of,
// as far as they go: it leaves out the sets of which none of them is.
func attackSymmetric(key *client.Key, loots []*loot, envelope []byte, context api.Context) ([]byte, error) {
	c, err := tprf.Parse(envelope)
	if err != nil {
		return nil, err
	}
	var sum tprf.Value
	for _, set := range tprf.Sets(sharing.Params{T: key.Threshold(), H: len(key.Holders())}) {
		i := slices.IndexFunc(loots, func(l *loot) bool { return set.Has(l.shares[1].Index) })
		if i < 0 {
			continue
		}
		values, err := loots[i].shares[1].Sets.Values([]tprf.Set{set}, c.Input(context.Canonical()))
		if err != nil {
			return nil, err
		}
		sum = sum.XOR(values[0])
	}
	dek, err := c.Open(sum)
	if err != nil {
		return nil, err
	}
	return dek.Reveal(), nil
}

// checkAttack holds P1 and P8 against the files: no two nodes open anything, and
// any three do, so that the attack is known to work.
func checkAttack(t *testing.T, key *client.Key, loots []*loot, closed error, dek []byte, attack func(loots []*loot) ([]byte, error)) {
	t.Helper()
	for _, two := range subsets(loots, key.Threshold()-1) {
		if _, err := attack(two); !errors.Is(err, closed) {
			t.Errorf("the directories, tokens and PINs of%s: %v, want %v", names(two), err, closed)
		}
	}
	for _, three := range subsets(loots, key.Threshold()) {
		got, err := attack(three)
		if err != nil || !bytes.Equal(got, dek) {
			t.Errorf("the attack with%s does not work: %v", names(three), err)
		}
	}
}
