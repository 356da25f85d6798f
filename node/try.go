package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// Reasons why a backup is of no use for its node's shares.
var (
	// ErrDead means that the token has destroyed the key that sealed the backup's
	// generation: the node has made another one since, to erase shares or to lock itself
	// anew. Nothing opens this backup's shares any more.
	ErrDead = errors.New("the token has destroyed the key that sealed this backup: the node has sealed itself anew since, or its shares were moved to another cluster; nothing opens it any more, try a newer one")
	// ErrMisfit means that a share is not the one that its key's record names.
	ErrMisfit = errors.New("a share in this backup is not the one that the key's record names")
)

// Tried is what a token opens of a backup of its node.
type Tried struct {
	Node       string        `json:"node"`
	Cluster    api.ClusterID `json:"cluster"`
	Token      string        `json:"token_serial"`
	Generation uint64        `json:"generation"` // of the sealed store; 0: it has none
	Locked     bool          `json:"locked"`     // the token opens it, and custodians have to open it, too
	LockKept   bool          `json:"lock_kept"`  // and a restore can ask them: what is public of their lock is beside it
	Shares     []TriedShare  `json:"shares,omitempty"`
}

// TriedShare is a share of a named key that opens.
type TriedShare struct {
	Key     api.KeyID `json:"key"`
	Version uint32    `json:"version"`
	Epoch   uint64    `json:"epoch"`
	Name    string    `json:"name,omitempty"`   // as the key's record has it
	Record  uint64    `json:"record,omitempty"` // the epoch of the record that was given; 0: none was
	Fits    bool      `json:"fits"`             // the share times G is what that record has for this holder
}

// Try tries what a node's token still opens of a backup: files are what is small in it,
// by path. It writes their sealed store into scratch, an empty directory of mode 0700, and
// destroys nothing, neither there nor on the token. Each share whose key has a record
// among records, signed by its holders, is held against that: x·G = Y_i. A share of an
// epoch before the record's opens, and fits nothing that clients believe.
//
// Errors wrap [ErrWrongToken], [ErrIdentity], [ErrDead], [ErrMisfit], [ErrKeyring],
// [ErrConfig], [ErrGenesis] or authority.ErrRecord. open opens the token, which costs one
// try of the PIN.
func Try(files map[string][]byte, scratch string, records [][]byte, open func(HSMConfig) (hsm.Device, error)) (t *Tried, err error) {
	cfg, err := ParseConfig(files[configName])
	if err != nil {
		return nil, err
	}
	g, err := verifyGenesis(files[genesisName])
	if err != nil {
		return nil, err
	}
	byKey := map[api.KeyID]map[uint32]*authority.VerifiedRecord{}
	for _, b := range records {
		signed, err := authority.ParseSignedRecord(b)
		if err != nil {
			return nil, err
		}
		r, err := signed.Verify(g)
		if err != nil {
			return nil, err
		}
		if byKey[r.Key] == nil {
			byKey[r.Key] = map[uint32]*authority.VerifiedRecord{}
		}
		byKey[r.Key][r.Version] = r
	}
	dev, err := open(cfg.HSM)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	if cfg.HSM.Serial != dev.Serial() {
		return nil, fmt.Errorf("%w: serial %s, the backup's is %s", ErrWrongToken, dev.Serial(), cfg.HSM.Serial)
	}
	for name, content := range files {
		if dir, base := filepath.Split(name); name == identityName || dir == sealDir+"/" {
			if err := keyring.WriteFile(nil, scratch, base, content); err != nil {
				return nil, err
			}
		}
	}
	defer func() { err = errors.Join(err, emptied(scratch)) }()
	if _, err := openIdentity(scratch, cfg.Node, dev); err != nil {
		return nil, err
	}
	store := keyring.Config{Dir: scratch, Cluster: g.Cluster, Node: cfg.Node, Device: dev}
	t = &Tried{Node: cfg.Node, Cluster: g.Cluster, Token: dev.Serial()}
	if t.Generation, err = keyring.Newest(store); err != nil || t.Generation == 0 {
		return t, err
	}
	ring, err := keyring.Peek(store)
	switch {
	case errors.Is(err, keyring.ErrLocked):
		t.Locked = true
		_, _, public, err := keyring.LockOf(scratch)
		t.LockKept = len(public) > 0
		return t, err
	case errors.Is(err, hsm.ErrNoKey):
		return nil, fmt.Errorf("%w (generation %d of %s)", ErrDead, t.Generation, cfg.Node)
	case err != nil:
		return nil, err
	}
	defer ring.Wipe()
	for _, h := range ring.Shares() {
		s := TriedShare{Key: h.Key, Version: h.Version, Epoch: h.Epoch}
		if r := byKey[h.Key][h.Version]; r != nil {
			s.Name, s.Record = r.Order().Name, r.Epoch
			share, _ := ring.Share(h.Key, h.Version, h.Epoch)
			if s.Fits = h.Epoch == r.Epoch && fits(share, r, cfg.Node); h.Epoch == r.Epoch && !s.Fits {
				return nil, fmt.Errorf("%w: key %s, version %d, epoch %d", ErrMisfit, h.Key, h.Version, h.Epoch)
			}
		}
		t.Shares = append(t.Shares, s)
	}
	return t, nil
}

// fits says whether a share is the one that its node holds by a record: x·G = Y_i, or the
// keys of its sets have the hashes that stand there.
func fits(s *keyring.Share, r *authority.VerifiedRecord, node string) bool {
	i := r.Order().IndexOf(node)
	if i == 0 || s.Index != i {
		return false
	}
	if o := r.Order(); o.Symmetric() {
		return s.Sets != nil && s.Sets.Params() == (sharing.Params{T: int(o.T), H: len(o.Holders)}) && s.Sets.Fits(s.Session, r.Sets)
	}
	if s.Scalar == nil {
		return false
	}
	yi, err := group.DecodePoint(r.YI[i-1])
	return err == nil && group.BaseMul(s.Scalar).Equal(yi)
}

// emptied removes what was written into a directory for a moment.
func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sealed") {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
