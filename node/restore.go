package node

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/internal/disk"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/group"
)

// Reasons why no share is moved. Before any of them, nothing is written or destroyed.
var (
	// ErrOtherBackup means that the backup is of another cluster, or of another holder,
	// than the adoption says.
	ErrOtherBackup = errors.New("the backup is of another cluster, or another holder, than the adoption says")
	// ErrNotTaker means that the adoption gives the share to another node.
	ErrNotTaker = errors.New("the adoption gives this share to another node")
	// ErrLeftOver means that the backup has a share which no adoption names: it would be
	// lost with the sealing key that is destroyed.
	ErrLeftOver = errors.New("a share in the backup is of a key that no adoption names, and would be lost: give its adoption, too, or --leave-others")
	// ErrPieces means that custodians have to open a seal, the backup's or this node's, and
	// that there is no way to ask them.
	ErrPieces = errors.New("custodians have to open this seal: give --pieces DIR, a folder where they find what there is to open, and where their pieces are left")
	// ErrUnborn means that this node has no root share yet, which its keyring needs.
	ErrUnborn = errors.New("this node has no root share yet: start it, and wait until it serves")
	// ErrSameToken means that both nodes name one token.
	ErrSameToken = errors.New("the old and the new node have the same token")
)

// RestoreOptions are what a share is moved from and to.
type RestoreOptions struct {
	Dir       string     // of the node that takes the shares; it does not run
	Device    hsm.Device // its token
	Files     map[string][]byte
	Adoptions [][]byte // signed by custodians, as they were submitted
	Leave     bool     // shares that no adoption names are lost
	// Custodians open the seals that take them; nil refuses those with [ErrPieces].
	Custodians Handing
	Scratch    string // empty, mode 0700
	Rand       io.Reader
	Disk       disk.Hook                           // nil is the real disk alone
	Open       func(HSMConfig) (hsm.Device, error) // opens the old token, which costs one try of the PIN
}

// Restored is what a restore has moved.
type Restored struct {
	Node      string          `json:"node"`
	Cluster   api.ClusterID   `json:"cluster"`
	Lost      api.ClusterID   `json:"lost_cluster"`
	From      string          `json:"from_node"`
	Token     string          `json:"from_token_serial"`
	Shares    []RestoredShare `json:"shares"`
	Destroyed []string        `json:"destroyed"` // labels of the old token's keys; none: an earlier run has done it
}

// RestoredShare is a share that this node has now.
type RestoredShare struct {
	Key     api.KeyID `json:"key"`
	Name    string    `json:"name"`
	Version uint32    `json:"version"`
	Epoch   uint64    `json:"epoch"`
	Index   uint32    `json:"index"`
}

// Restore moves the shares of a node of a lost cluster, out of a backup and with its token
// beside this node's, into this node's keyring, where the adoptions say that they go. Each
// is held against its key's record: x·G = Y_i. When they are sealed here, synced and read
// back, the keys that sealed them on the old token are destroyed, so that a share moves
// once. Where custodians open the seal of the backup, or this node's, they are asked for
// their pieces first. Run again after a crash, it goes on where it was.
//
// Errors wrap [ErrOtherBackup], [ErrNotTaker], [ErrLeftOver], [ErrPieces], [ErrNoLock],
// [ErrUnborn], [ErrSameToken], those of [Try], [ErrInUse], authority.ErrAdopt or
// authority.ErrRestoreOffer.
func Restore(o RestoreOptions) (_ *Restored, err error) {
	cfg, err := LoadConfig(o.Dir)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDirectory(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	g, err := loadGenesis(o.Dir)
	if err != nil {
		return nil, err
	}
	from, err := ParseConfig(o.Files[configName])
	if err != nil {
		return nil, err
	}
	lost, err := verifyGenesis(o.Files[genesisName])
	if err != nil {
		return nil, err
	}
	moves, err := planMoves(g, cfg.Node, lost, from.Node, o.Adoptions)
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.HSM.Serial != o.Device.Serial():
		return nil, fmt.Errorf("%w: serial %s, configured is %s", ErrWrongToken, o.Device.Serial(), cfg.HSM.Serial)
	case cfg.HSM.Serial == from.HSM.Serial:
		return nil, fmt.Errorf("%w: serial %s", ErrSameToken, cfg.HSM.Serial)
	}
	here := keyring.Config{Dir: filepath.Join(o.Dir, sealDir), Cluster: g.Cluster, Node: cfg.Node, Device: o.Device, Rand: o.Rand, Disk: o.Disk}
	old, err := o.Open(from.HSM)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if from.HSM.Serial != old.Serial() {
		return nil, fmt.Errorf("%w: serial %s, the backup's is %s", ErrWrongToken, old.Serial(), from.HSM.Serial)
	}
	defer func() { err = errors.Join(err, emptied(o.Scratch)) }()
	if err := o.unpack(); err != nil {
		return nil, err
	}
	key, err := openIdentity(o.Scratch, from.Node, old) // it is this node's token
	if err != nil {
		return nil, err
	}
	signer, err := authority.NewSigner(key)
	if err != nil {
		return nil, err
	}
	there := keyring.Config{Dir: o.Scratch, Cluster: lost.Cluster, Node: from.Node, Device: old}
	if here, there, err = o.unseal(g, lost, here, there, signer); err != nil {
		return nil, err
	}
	defer here.Unseal.Wipe()
	defer there.Unseal.Wipe()
	if err := o.move(here, there, moves); err != nil {
		return nil, err
	}
	// From here, a crash recovers forward: the shares are in this node's keyring.
	r := &Restored{Node: cfg.Node, Cluster: g.Cluster, Lost: lost.Cluster, From: from.Node, Token: old.Serial()}
	for _, m := range moves {
		r.Shares = append(r.Shares, RestoredShare{m.record.Key, m.record.Order().Name, m.record.Version, m.record.Epoch, m.index})
	}
	r.Destroyed, err = keyring.Bury(old)
	return r, err
}

// move is one share, and where it goes.
type move struct {
	record  *authority.VerifiedRecord
	index   uint32
	session api.Digest
}

// planMoves verifies adoptions, as the ledger does, and works out which shares of one node
// of the lost cluster they give to this one.
func planMoves(g *authority.VerifiedGenesis, to string, lost *authority.VerifiedGenesis, from string, adoptions [][]byte) ([]move, error) {
	var out []move
	for _, b := range adoptions {
		e, err := authority.ParseEntry(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", authority.ErrAdopt, err)
		}
		a, err := authority.VerifyAdopt(&g.Genesis, e)
		if err != nil {
			return nil, err
		}
		index := a.Record.Order().IndexOf(from)
		switch {
		case a.Lost.Hash() != lost.Hash():
			return nil, fmt.Errorf("%w: it is of the cluster %s, the adoption of %s", ErrOtherBackup, lost.Cluster, a.Lost.Cluster)
		case index == 0:
			return nil, fmt.Errorf("%w: it is of %s, which holds no share of %s by the adoption", ErrOtherBackup, from, a.Record.Order().Name)
		case a.Takers[index-1] != to:
			return nil, fmt.Errorf("%w: that of %s goes to %q, and this is %s", ErrNotTaker, from, a.Takers[index-1], to)
		}
		m := move{a.Record, index, a.Session(g.Cluster)}
		if slices.ContainsFunc(out, func(o move) bool { return o.record.Key == m.record.Key && o.record.Version == m.record.Version }) {
			return nil, fmt.Errorf("%w: two adoptions of version %d of %s were given", authority.ErrAdopt, m.record.Version, m.record.Order().Name)
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no adoption was given", authority.ErrAdopt)
	}
	return out, nil
}

// move puts the shares into this node's keyring, and reads them back out of what is on the
// disk. What is there already is not looked for in the backup.
func (o *RestoreOptions) move(here, there keyring.Config, moves []move) error {
	if done, err := moved(here, moves); err != nil || done {
		return err
	}
	list, err := o.shares(there, moves)
	if err != nil {
		return err
	}
	ring, err := keyring.Open(here)
	if err != nil {
		return err
	}
	err = ring.PutAll(list)
	ring.Wipe()
	if err != nil {
		return err
	}
	done, err := moved(here, moves)
	if err == nil && !done {
		err = keyring.ErrReadBack
	}
	return err
}

// moved says whether the keyring on the disk has every one of the shares.
func moved(here keyring.Config, moves []move) (bool, error) {
	ring, err := keyring.Open(here)
	switch {
	case errors.Is(err, keyring.ErrNone):
		return false, ErrUnborn
	case err != nil:
		return false, err
	}
	defer ring.Wipe()
	for _, m := range moves {
		s, ok := ring.Share(m.record.Key, m.record.Version, m.record.Epoch)
		if !ok || s.Session != m.session || !m.fits(s) {
			return false, nil
		}
	}
	return true, nil
}

// fits says whether a share is the one that the record names at this index: x·G = Y_i.
func (m *move) fits(s *keyring.Share) bool {
	if s.Scalar == nil { // of a symmetric key
		return false
	}
	yi, err := group.DecodePoint(m.record.YI[m.index-1])
	return err == nil && s.Index == m.index && group.BaseMul(s.Scalar).Equal(yi)
}

// unpack writes the sealed store of the backup and its node's identity into scratch.
func (o *RestoreOptions) unpack() error {
	for name, content := range o.Files {
		if dir, base := filepath.Split(name); name == identityName || dir == sealDir+"/" {
			if err := keyring.WriteFile(nil, o.Scratch, base, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// shares opens the backup, and takes the shares out that are to be moved. It destroys
// nothing.
func (o *RestoreOptions) shares(there keyring.Config, moves []move) (list []keyring.Share, err error) {
	ring, err := keyring.Peek(there)
	switch {
	case errors.Is(err, hsm.ErrNoKey):
		return nil, fmt.Errorf("%w (%s)", ErrDead, there.Node)
	case err != nil:
		return nil, err
	}
	defer ring.Wipe()
	for _, h := range ring.Shares() {
		named := slices.ContainsFunc(moves, func(m move) bool { return m.record.Key == h.Key && m.record.Version == h.Version })
		if !named && !o.Leave {
			return nil, fmt.Errorf("%w: key %s, version %d, epoch %d", ErrLeftOver, h.Key, h.Version, h.Epoch)
		}
	}
	for _, m := range moves {
		r := m.record
		s, ok := ring.Share(r.Key, r.Version, r.Epoch)
		if !ok || !m.fits(s) {
			return nil, fmt.Errorf("%w: key %s, version %d: its record is of epoch %d, the backup has %s", ErrMisfit, r.Key, r.Version, r.Epoch, epochsOf(ring, r))
		}
		list = append(list, keyring.Share{
			Key: r.Key, Version: r.Version, Epoch: r.Epoch, Session: m.session, Index: m.index, Scalar: s.Scalar.Add(group.SmallScalar(0)),
		})
	}
	return list, nil
}

// epochsOf says which epochs of a key a keyring has shares of.
func epochsOf(ring *keyring.Keyring, r *authority.VerifiedRecord) string {
	var of []uint64
	for _, h := range ring.Shares() {
		if h.Key == r.Key && h.Version == r.Version {
			of = append(of, h.Epoch)
		}
	}
	if of == nil {
		return "none"
	}
	return fmt.Sprintf("epochs %d", of)
}
