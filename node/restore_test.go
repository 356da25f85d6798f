package node

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/group"
)

// heir is a node of a new cluster, which is to take the share of a node that was backed up.
type heir struct {
	*backedUp
	new    *cluster
	store  keyring.Config // of the node that takes the share
	takers []string       // by the old cluster's index
	leave  bool
	by     Handing // custodians who open seals, or nil

	token    int // of the old cluster's nodes: whose token is there
	into     int // of the new cluster's nodes: which one takes it
	adoption func() []byte
}

func newHeir(t *testing.T, unseal secret.Bytes) *heir {
	t.Helper()
	h := &heir{backedUp: newBackedUp(t, unseal), takers: []string{"n2", "n3", ""}, into: 1}
	h.new = newClusterUnder(t, h.key)
	h.store = h.born(1)
	h.adoption = h.adopts
	return h
}

// born gives a node of the new cluster a root share.
func (h *heir) born(of int) keyring.Config {
	h.t.Helper()
	dir := h.new.dirs[of]
	g, err := loadGenesis(dir)
	must(h.t, err)
	store := keyring.Config{Dir: filepath.Join(dir, sealDir), Cluster: g.Cluster, Node: []string{"n1", "n2", "n3"}[of], Device: openSoft(h.t, dir), Rand: rand.Reader}
	ring, err := keyring.Create(store, keyring.Root{Session: api.Digest{2}, Epoch: 1, Index: uint32(of + 1), Share: group.SmallScalar(9)})
	must(h.t, err)
	ring.Wipe()
	return store
}

// adopts is the adoption of the key as its record is now.
func (h *heir) adopts() []byte {
	h.t.Helper()
	lost, err := loadGenesis(h.dirs[0])
	must(h.t, err)
	a := authority.Adopt{Lost: lost.Signed().Encode(), Record: h.signed()[0], Takers: h.takers}
	e := authority.NewChange(authority.Change{Cluster: h.store.Cluster, Kind: authority.KindAdopt, NotAfter: 1 << 50, Body: wire.Encode(a)})
	must(h.t, authority.SignChange(rand.Reader, e, h.custodian))
	return e.Encode()
}

// restore moves the share, with the old token in the machine as it is wrapped.
func (h *heir) restore(wrap func(hsm.Device) hsm.Device, alter ...func(*RestoreOptions)) (*Restored, error) {
	h.t.Helper()
	scratch := h.t.TempDir()
	o := RestoreOptions{
		Dir: h.new.dirs[h.into], Device: openSoft(h.t, h.new.dirs[h.into]), Files: h.files, Adoptions: [][]byte{h.adoption()}, Leave: h.leave, Custodians: h.by,
		Scratch: scratch, Rand: rand.Reader, Open: func(HSMConfig) (hsm.Device, error) { return wrap(openSoft(h.t, h.dirs[h.token])), nil },
	}
	for _, a := range alter {
		a(&o)
	}
	r, err := Restore(o)
	if left, _ := os.ReadDir(scratch); len(left) > 0 {
		h.t.Errorf("%d files of the sealed store are left", len(left))
	}
	return r, err
}

func asItIs(d hsm.Device) hsm.Device { return d }

// has says whether the node that takes the share has it, by what is on its disk.
func (h *heir) has() bool {
	h.t.Helper()
	ring, err := keyring.Peek(h.store)
	must(h.t, err)
	defer ring.Wipe()
	s, ok := ring.Share(h.record.Key, 1, 1)
	return ok && s.Index == 1 && string(group.BaseMul(s.Scalar).Bytes()) == string(h.record.YI[0])
}

// seals are the keys of the old token that seal a keyring.
func (h *heir) seals() []string {
	h.t.Helper()
	labels, err := openSoft(h.t, h.dirs[0]).Labels()
	must(h.t, err)
	return slices.DeleteFunc(labels, func(l string) bool { return l[:min(5, len(l))] != "root." })
}

// A share moves once: into the keyring of the node that the adoption names, and out of
// reach of the token that it came from. Whoever does it again finds it done.
func TestAShareMovesOnceFromABackup(t *testing.T) {
	h := newHeir(t, secret.Bytes{})
	adoption := h.adopts()
	h.adoption = func() []byte { return adoption }
	r, err := h.restore(asItIs)
	must(t, err)
	if len(r.Shares) != 1 || r.Shares[0].Key != h.record.Key || r.Shares[0].Index != 1 || r.From != "n1" || r.Node != "n2" || !slices.Equal(r.Destroyed, []string{"root.1"}) {
		t.Errorf("%+v", r)
	}
	if !h.has() || len(h.seals()) != 0 {
		t.Errorf("the share is here: %v; the old token has %v", h.has(), h.seals())
	}
	if _, err := h.try(0, nil); !errors.Is(err, ErrDead) {
		t.Errorf("the backup opens: %v", err)
	}
	if _, err := keyring.Peek(h.backedUp.store); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("the old node opens: %v", err)
	}
	if r, err = h.restore(asItIs); err != nil || len(r.Destroyed) != 0 || !h.has() {
		t.Errorf("again: %+v, %v", r, err)
	}
	// Another node of the new cluster does not get it as well.
	h.takers, h.into, h.adoption = []string{"n3", "n2", ""}, 2, h.adopts
	h.born(2)
	if _, err := h.restore(asItIs); !errors.Is(err, ErrDead) {
		t.Errorf("a share moved twice: %v", err)
	}
}

// Before a share is moved, everything is looked at: what is refused leaves both tokens and
// the keyring as they were.
func TestRestoresThatAreRefused(t *testing.T) {
	for sentence, tt := range map[string]struct {
		spoil func(*heir)
		want  error
	}{
		"the token of another node": {func(h *heir) { h.token = 1 }, ErrWrongToken},
		"the backup of another cluster": {func(h *heir) {
			adoption := h.adopts()
			h.adoption = func() []byte { return adoption }
			h.files = newBackedUp(h.t, secret.Bytes{}).files
		}, ErrOtherBackup},
		"a node that takes another share": {func(h *heir) { h.takers = []string{"n3", "n2", ""} }, ErrNotTaker},
		"a share that nobody takes":       {func(h *heir) { h.takers = []string{"", "n2", "n3"} }, ErrNotTaker},
		"a node of the new cluster that is not born": {func(h *heir) {
			h.takers, h.into = []string{"n1", "n3", ""}, 0
		}, ErrUnborn},
		"a record of a later epoch": {func(h *heir) {
			h.record.Epoch, h.record.RecordVersion, h.record.BornRoster = 2, 2, 1
		}, ErrMisfit},
		"another key's record": {func(h *heir) { h.deal() }, ErrMisfit},
		"a share that no adoption names": {func(h *heir) {
			ring, err := keyring.Open(h.backedUp.store)
			must(h.t, err)
			must(h.t, ring.Put(keyring.Share{Key: api.KeyID{7}, Version: 1, Epoch: 1, Index: 1, Scalar: group.SmallScalar(3)}))
			h.files[sealDir+"/keyring-1.sealed"], err = os.ReadFile(filepath.Join(h.backedUp.store.Dir, "keyring-1.sealed"))
			must(h.t, err)
		}, ErrLeftOver},
		"a generation that was destroyed": {func(h *heir) {
			ring, err := keyring.Open(h.backedUp.store)
			must(h.t, err)
			_, err = ring.Erase(h.t.Context(), nil, func(keyring.Held) bool { return false })
			must(h.t, err)
		}, ErrDead},
		"an adoption that too few signed": {func(h *heir) {
			e, err := authority.ParseEntry(h.adopts())
			must(h.t, err)
			e.Signatures = nil
			h.adoption = func() []byte { return e.Encode() }
		}, authority.ErrTooFewSignatures},
		"no adoption": {func(h *heir) { h.adoption = func() []byte { return nil } }, authority.ErrAdopt},
	} {
		t.Run(sentence, func(t *testing.T) {
			h := newHeir(t, secret.Bytes{})
			tt.spoil(h)
			before := h.seals()
			if _, err := h.restore(asItIs); !errors.Is(err, tt.want) {
				t.Errorf("it was moved: %v", err)
			}
			if h.has() || !slices.Equal(h.seals(), before) {
				t.Errorf("something was moved, or the old token has %v, had %v", h.seals(), before)
			}
		})
	}
	// What no adoption names is lost if its owner says so.
	h := newHeir(t, secret.Bytes{})
	ring, err := keyring.Open(h.backedUp.store)
	must(t, err)
	must(t, ring.Put(keyring.Share{Key: api.KeyID{7}, Version: 1, Epoch: 1, Index: 1, Scalar: group.SmallScalar(3)}))
	h.leave = true
	if _, err := h.restore(asItIs); err != nil || !h.has() {
		t.Errorf("with shares left: %v", err)
	}
	locked := newHeir(t, secret.New([]byte("32 bytes that custodians keep---")))
	if _, err := locked.restore(asItIs); !errors.Is(err, ErrNoLock) || len(locked.seals()) != 1 {
		t.Errorf("a seal that custodians open, and nobody knows which: %v", err)
	}
	busy := newHeir(t, secret.Bytes{})
	unlock, err := lockDirectory(busy.new.dirs[1])
	must(t, err)
	if _, err := busy.restore(asItIs); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a node that runs: %v", err)
	}
	must(t, unlock())
}

// broken is a token that fails when a key is to be destroyed, before or after it is.
type broken struct {
	*soft.Device
	after bool
}

var errPulled = errors.New("the token was pulled")

func (b broken) DestroyKey(label string) error {
	if b.after {
		return errors.Join(b.Device.DestroyKey(label), errPulled)
	}
	return errPulled
}

// From when the share is sealed here, it is moved for good: cut short before the old seal
// is destroyed or after, a second run ends it; cut short before, nothing has happened.
func TestARestoreThatIsCutShortIsEndedByTheNext(t *testing.T) {
	for _, after := range []bool{false, true} {
		h := newHeir(t, secret.Bytes{})
		adoption := h.adopts()
		h.adoption = func() []byte { return adoption }
		pulled := func(d hsm.Device) hsm.Device { return broken{d.(*soft.Device), after} }
		if _, err := h.restore(pulled); !errors.Is(err, errPulled) || !h.has() || (len(h.seals()) == 0) != after {
			t.Errorf("cut short: %v, the share is here: %v, the old token has %v", err, h.has(), h.seals())
		}
		if _, err := h.restore(asItIs); err != nil || !h.has() || len(h.seals()) != 0 {
			t.Errorf("ended: %v, the share is here: %v, the old token has %v", err, h.has(), h.seals())
		}
	}
	// The disk fails at each of the steps before.
	for step := 0; ; step++ {
		h := newHeir(t, secret.Bytes{})
		n := 0
		full := func(o *RestoreOptions) {
			o.Disk = func(disk.Op, string) error {
				if n++; n == step+1 {
					return errPulled
				}
				return nil
			}
		}
		_, err := h.restore(asItIs, full)
		if n <= step {
			if err != nil {
				t.Errorf("nothing failed: %v", err)
			}
			break
		}
		if err == nil || len(h.seals()) != 1 {
			t.Errorf("the disk failed at step %d, and the old token has %v: %v", step, h.seals(), err)
		}
		if _, err := h.restore(asItIs); err != nil || !h.has() || len(h.seals()) != 0 {
			t.Errorf("after the disk failed at step %d: %v", step, err)
		}
	}
}
