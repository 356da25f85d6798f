package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// Key is one version of a threshold key that was born, in its current epoch.
type Key struct {
	ID      api.KeyID  `cbor:"1,keyasint"`
	Version uint32     `cbor:"2,keyasint"`
	Order   api.Digest `cbor:"3,keyasint"` // of its birth
	Purpose string     `cbor:"4,keyasint"`
	Name    string     `cbor:"5,keyasint,omitempty"`
	BornT   uint32     `cbor:"6,keyasint"` // the shape that its Δ is born with
	BornH   uint32     `cbor:"7,keyasint"`
	BornAt  uint64     `cbor:"8,keyasint"` // Raft index of its Activate
	Epoch   `cbor:"9,keyasint"`
	Born    int64 `cbor:"10,keyasint,omitempty"` // ledger time of its Activate, Unix milliseconds, where its order has a period

	Adopted *Adopted `cbor:"11,keyasint,omitempty"` // where it was born in another cluster
	Drawn   *Drawn   `cbor:"12,keyasint,omitempty"` // of a key that its order took from a pool; BornAt and Born are of then
}

// Epoch is one generation of a key's shares, as its ceremony left it.
type Epoch struct {
	Number     uint64                `cbor:"1,keyasint"`
	Session    api.Digest            `cbor:"2,keyasint"` // that made it
	T          uint32                `cbor:"3,keyasint"`
	F          uint32                `cbor:"4,keyasint"`
	Holders    []string              `cbor:"5,keyasint"`           // by index; those struck stand in Struck
	Struck     []string              `cbor:"6,keyasint,omitempty"` // who has not confirmed, and holds nothing
	Record     authority.KeyRecord   `cbor:"7,keyasint"`
	Signatures []authority.Signature `cbor:"8,keyasint,omitempty"`  // of the record, in the order in which they came
	Signed     []string              `cbor:"9,keyasint,omitempty"`  // whose they are, one by one
	Opened     uint64                `cbor:"10,keyasint"`           // Raft index where its session was opened
	Obeys      uint64                `cbor:"11,keyasint,omitempty"` // Raft index of the newest reshare that it obeys
	Custody    uint64                `cbor:"12,keyasint,omitempty"` // how often the custodians had been replaced when that was taken
}

func (v *Key) digest() api.Digest { return digestOf(v) }

// IndexOf returns the place of a node among the holders of this epoch, 1..h,
// or 0 for a node that holds no share in it.
func (e *Epoch) IndexOf(node string) uint32 {
	if slices.Contains(e.Struck, node) {
		return 0
	}
	return uint32(slices.Index(e.Holders, node) + 1)
}

// Vouched says whether so many holders have signed the record that a client believes it.
func (e *Epoch) Vouched() bool { return len(e.Signed) >= int(e.T) }

// ErrSymmetric means that a symmetric key is asked for what only a key with a public key
// has, or may.
var ErrSymmetric = errors.New("a symmetric key has no public key, and its shares are never made anew: rotate it")

// Symmetric says whether the key is a threshold pseudo-random function, and has no
// public key.
func (k *Key) Symmetric() bool { return k.Purpose == authority.PurposeEncrypt }

// Public is the key's public half with the threshold and the holders of one of its
// epochs: Y, W and Δ are those of its birth, and so is the cluster that envelopes name,
// [State.Origin].
func (k *Key) Public(cluster api.ClusterID, e *Epoch) (*tdh2.PublicKey, error) {
	if k.Symmetric() {
		return nil, fmt.Errorf("public half of the key %s: %w", k.ID, ErrSymmetric)
	}
	y, err := group.DecodePoint(e.Record.Y)
	if err != nil {
		return nil, fmt.Errorf("record of the key %s: %w", k.ID, err)
	}
	pk, err := tdh2.NewPublicKey(cluster, k.ID, k.Version, int(k.BornT), int(k.BornH), y)
	if err != nil {
		return nil, err
	}
	return pk.Reshared(sharing.Params{T: int(e.T), H: len(e.Holders)})
}

func keyPath(id api.KeyID, version uint32) string { return versionPath(pathKey, id, version) }

// pathRoom is enough for most paths. Those that are made several times with each request
// are made in it, and without a format.
const pathRoom = 160

func versionPath(prefix string, id api.KeyID, version uint32) string {
	var few [pathRoom]byte
	return string(appendVersionPath(few[:0], prefix, id, version))
}

// appendVersionPath appends prefix, the key's id and ten digits of the version.
func appendVersionPath(b []byte, prefix string, id api.KeyID, version uint32) []byte {
	b = append(hex.AppendEncode(append(b, prefix...), id[:]), '/')
	for d := uint32(1e9); d > 0; d /= 10 {
		b = append(b, '0'+byte(version/d%10))
	}
	return b
}

// Key returns the newest version of a key that was born, or nil.
func (s *State) Key(id api.KeyID) *Key {
	versions := list[*Key](s, pathKey+id.String()+"/")
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1]
}

// KeyVersion returns one version of a key, or nil.
func (s *State) KeyVersion(id api.KeyID, version uint32) *Key {
	var few [pathRoom]byte
	return find[*Key](s, appendVersionPath(few[:0], pathKey, id, version))
}

// KeyNamed returns the newest version of the key of this name once it is born, or nil.
func (s *State) KeyNamed(name string) *Key {
	o := s.OrderNamed(name)
	if o == nil || o.Key == (api.KeyID{}) {
		return nil
	}
	return s.Key(o.Key)
}

// RootKey returns the cluster's root key once it is born, or nil.
func (s *State) RootKey() *Key {
	o := s.OrderByHash(s.rootOrder)
	if o.Key == (api.KeyID{}) {
		return nil
	}
	return s.Key(o.Key)
}

// Keys lists every version of every key that was born, by id and version.
func (s *State) Keys() []*Key { return list[*Key](s, pathKey) }

// LiveEpochs lists, by key, version and epoch, the epochs that can release.
func (s *State) LiveEpochs() []authority.LiveEpoch {
	var out []authority.LiveEpoch
	for _, k := range s.Keys() {
		if k.Purpose == authority.PurposeRoot || k.Waits() || s.Destroyed(k.ID) {
			continue
		}
		if o := s.Older(k.ID, k.Version); o != nil && !k.brought(o.Number) {
			out = append(out, authority.LiveEpoch{Key: k.ID, Version: k.Version, Epoch: o.Number})
		}
		out = append(out, authority.LiveEpoch{Key: k.ID, Version: k.Version, Epoch: k.Number})
	}
	return out
}
