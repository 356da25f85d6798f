package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/unseal"
)

// opener is a custodian who opens seals.
type opener struct {
	name string
	sign []byte
	open *age.X25519Identity
}

func (k *opener) key() authority.Fingerprint { return authority.FingerprintOf(k.sign) }

func openers(t *testing.T) (list []*opener) {
	t.Helper()
	for _, name := range []string{"alice", "bob", "carol"} {
		id, err := age.GenerateX25519Identity()
		must(t, err)
		list = append(list, &opener{name, []byte(name), id})
	}
	return list
}

// shut has any two custodians open a node's seal from now on, beside its token, and
// returns what opens it.
func shut(t *testing.T, store keyring.Config, who []*opener) secret.Bytes {
	t.Helper()
	ring, err := keyring.Open(store)
	must(t, err)
	defer ring.Wipe()
	var g authority.Genesis
	var recipients []string
	for _, k := range who {
		g.Custodians = append(g.Custodians, authority.Custodian{Name: k.name, Sign: k.sign})
		recipients = append(recipients, k.open.Recipient().String())
	}
	next := ring.Generation() + 1
	u, l, err := unseal.Split(rand.Reader, unseal.Seal{Cluster: store.Cluster, Node: store.Node, Generation: next}, recipients, 2)
	must(t, err)
	kept := secret.Clone(u.Reveal())
	_, err = ring.Erase(t.Context(), func() (keyring.Lock, error) {
		return keyring.Lock{Generation: next, Unseal: u, Public: authority.KeepLock(&g, wire.Encode(l))}, nil
	}, func(keyring.Held) bool { return false })
	must(t, err)
	return kept
}

// desk hands over what it is told to, in turn.
type desk struct {
	*testing.T
	genesis api.Digest // of the cluster that takes the shares
	offers  [][]byte
	turns   []func(*client.RestoreOffer) []byte
	refused []error
	waits   string
}

var errNobody = errors.New("nobody comes any more")

func (d *desk) Offer(offer []byte) error {
	d.offers = append(d.offers, offer)
	return nil
}

func (d *desk) Next() ([]byte, string, error) {
	if len(d.turns) == 0 {
		return nil, "", errNobody
	}
	do := d.turns[0]
	d.turns = d.turns[1:]
	return do(d.last()), "a custodian", nil
}

func (d *desk) Took(_, waits string, err error) {
	d.waits = waits
	if err != nil {
		d.refused = append(d.refused, err)
	}
}

func (d *desk) last() *client.RestoreOffer {
	d.Helper()
	o, err := client.ParseRestoreOffer(d.offers[len(d.offers)-1], d.genesis)
	must(d.T, err)
	return o
}

func (d *desk) hands(k *opener) func(*client.RestoreOffer) []byte {
	return func(o *client.RestoreOffer) []byte {
		b, err := o.HandOver(k.key(), k.open)
		must(d.T, err)
		return b
	}
}

// lockedHeir is an heir, with custodians who open both seals.
type lockedHeir struct {
	*heir
	*desk
	old, now []*opener // of the lost cluster, and of the new one: alice is both
}

func newLockedHeir(t *testing.T) *lockedHeir {
	t.Helper()
	h := &lockedHeir{heir: newHeir(t, secret.Bytes{}), old: openers(t), now: openers(t)}
	h.now[0] = h.old[0]
	h.now[1].sign, h.now[2].sign = []byte("dave"), []byte("erin")
	g, err := loadGenesis(h.new.dirs[1])
	must(t, err)
	h.desk = &desk{T: t, genesis: g.Hash()}
	h.by = h.desk
	shut(t, h.backedUp.store, h.old)
	h.heir.store.Unseal = shut(t, h.heir.store, h.now)
	for name := range h.files {
		if strings.HasPrefix(name, sealDir+"/") {
			delete(h.files, name)
		}
	}
	sealed, err := os.ReadDir(h.backedUp.store.Dir)
	must(t, err)
	for _, f := range sealed {
		h.files[sealDir+"/"+f.Name()], err = os.ReadFile(filepath.Join(h.backedUp.store.Dir, f.Name()))
		must(t, err)
	}
	adoption := h.adopts()
	h.adoption = func() []byte { return adoption }
	return h
}

// Where custodians open the seals of both nodes, those of each cluster hand over their
// pieces, and the share moves as it does without them.
func TestCustodiansOpenTheSealsForARestore(t *testing.T) {
	h := newLockedHeir(t)
	h.turns = []func(*client.RestoreOffer) []byte{h.hands(h.old[0]), h.hands(h.old[2]), h.hands(h.now[1])}
	r, err := h.restore(asItIs)
	must(t, err)
	if len(r.Shares) != 1 || !slices.Equal(r.Destroyed, []string{"root.2"}) || !h.has() || len(h.seals()) != 0 || len(h.refused) != 0 {
		t.Errorf("%+v, the share is here: %v, the old token has %v; refused %v", r, h.has(), h.seals(), h.refused)
	}
	o := h.last()
	if len(o.Seals) != 2 || o.From != "n1" || o.To != "n2" || o.Token != r.Token || len(o.Shares) != 1 || o.Shares[0].Index != 1 || o.Need(0) != 2 {
		t.Errorf("%+v", o.RestoreOffer)
	}
	// Run again, it finds nothing to open but its own seal.
	h.turns = []func(*client.RestoreOffer) []byte{h.hands(h.now[0]), h.hands(h.now[1])}
	if r, err := h.restore(asItIs); err != nil || len(r.Destroyed) != 0 || len(h.last().Seals) != 1 || h.last().Seals[0].Node != "n2" {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// P8: the backup, its token and the adoption, without enough custodians, open nothing and
// leave everything as it was.
func TestARestoreWithoutEnoughCustodiansMovesNothing(t *testing.T) {
	for sentence, turns := range map[string]func(*lockedHeir) []func(*client.RestoreOffer) []byte{
		"none": func(*lockedHeir) []func(*client.RestoreOffer) []byte { return nil },
		"one, twice, and the new cluster's": func(h *lockedHeir) []func(*client.RestoreOffer) []byte {
			return []func(*client.RestoreOffer) []byte{h.hands(h.old[0]), h.hands(h.old[0]), h.hands(h.now[1]), h.hands(h.now[2])}
		},
		"the lost cluster's alone": func(h *lockedHeir) []func(*client.RestoreOffer) []byte {
			return []func(*client.RestoreOffer) []byte{h.hands(h.old[1]), h.hands(h.old[2])}
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			h := newLockedHeir(t)
			h.turns = turns(h)
			before := h.seals()
			if _, err := h.restore(asItIs); !errors.Is(err, errNobody) {
				t.Errorf("it was moved: %v", err)
			}
			if h.has() || len(before) != 1 || !slices.Equal(h.seals(), before) {
				t.Errorf("something was moved, or the old token has %v, had %v", h.seals(), before)
			}
		})
	}
}

// A piece is of use for the one offer that it was handed over for.
func TestPiecesThatAreRefused(t *testing.T) {
	first := newLockedHeir(t)
	_, err := first.restore(asItIs)
	if !errors.Is(err, errNobody) {
		t.Fatal(err)
	}
	stale := first.hands(first.old[1])(first.last())
	altered := func(change func(*authority.RestorePieces)) func(*client.RestoreOffer) []byte {
		return func(o *client.RestoreOffer) []byte {
			p, err := authority.ParseRestorePieces(first.hands(first.old[1])(o))
			must(t, err)
			change(p)
			return p.Encode()
		}
	}
	// An offer of the same doors for something else, which the nodes' keys have signed.
	another := func(o *client.RestoreOffer) []byte {
		other := o.RestoreOffer
		other.Leave = true
		b, err := client.ParseRestoreOffer(first.sign(t, &other, 0, 1), first.genesis)
		must(t, err)
		p, err := authority.ParseRestorePieces(first.hands(first.old[1])(b))
		must(t, err)
		p.Offer = o.ID
		return p.Encode()
	}
	bad := []func(*client.RestoreOffer) []byte{
		func(*client.RestoreOffer) []byte { return stale },
		func(o *client.RestoreOffer) []byte {
			p, err := authority.ParseRestorePieces(stale)
			must(t, err)
			p.Offer = o.ID
			return p.Encode()
		},
		another,
		altered(func(p *authority.RestorePieces) { p.Pieces[0].Place = 2 }),
		altered(func(p *authority.RestorePieces) { p.Pieces[0].Seal = 1 }),
		altered(func(p *authority.RestorePieces) { p.Pieces[0].Seal = 1 << 31 }),
		altered(func(p *authority.RestorePieces) { p.Pieces[0].Handed[40] ^= 1 }),
		altered(func(p *authority.RestorePieces) { p.Pieces[0].Handed = nil }),
		func(*client.RestoreOffer) []byte { return []byte("no piece") },
	}
	first.turns = bad
	if _, err := first.restore(asItIs); !errors.Is(err, errNobody) || len(first.refused) != len(bad) || !strings.Contains(first.waits, "the seal of n1 needs 2 more") {
		t.Errorf("%v; refused %d of %d, waits: %s", err, len(first.refused), len(bad), first.waits)
	}
	// None of them stands in the way of those that are right.
	first.turns = append(bad, first.hands(first.old[1]), first.hands(first.old[0]), first.hands(first.now[1]))
	if _, err := first.restore(asItIs); err != nil || !first.has() {
		t.Errorf("with the right ones: %v", err)
	}
}

// sign signs an offer as nodes of the lost and of the new cluster.
func (h *lockedHeir) sign(t *testing.T, o *authority.RestoreOffer, from, to int) []byte {
	t.Helper()
	var signers []*authority.Signer
	for _, at := range []struct {
		dir string
		of  int
	}{{h.dirs[from], from}, {h.new.dirs[to], to}} {
		key, err := openIdentity(at.dir, []string{"n1", "n2", "n3"}[at.of], openSoft(t, at.dir))
		must(t, err)
		s, err := authority.NewSigner(key)
		must(t, err)
		signers = append(signers, s)
	}
	b, err := authority.SignRestoreOffer(rand.Reader, o, signers[0], signers[1])
	must(t, err)
	return b
}

// A custodian hands over nothing for an offer that is not what custodians of both clusters
// have ordered, or that is not of the two nodes.
func TestWhatARestoreAsksForIsVerified(t *testing.T) {
	h := newLockedHeir(t)
	if _, err := h.restore(asItIs); !errors.Is(err, errNobody) {
		t.Fatal(err)
	}
	good := h.last().RestoreOffer
	if _, err := client.ParseRestoreOffer(h.sign(t, &good, 0, 1), h.genesis); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ParseRestoreOffer(h.offers[0], api.Digest{1}); !errors.Is(err, authority.ErrRestoreOffer) {
		t.Errorf("for another cluster: %v", err)
	}
	for sentence, tt := range map[string]struct {
		spoil    func(*authority.RestoreOffer)
		from, to int
	}{
		"without the old token":        {func(*authority.RestoreOffer) {}, 1, 1},
		"as another node of the new":   {func(*authority.RestoreOffer) {}, 0, 2},
		"for a node without the share": {func(o *authority.RestoreOffer) { o.To, o.Seals[1].Node = "n3", "n3" }, 0, 2},
		"for a node of no roster":      {func(o *authority.RestoreOffer) { o.To = "n9" }, 0, 1},
		"of another node's backup":     {func(o *authority.RestoreOffer) { o.From, o.Seals[0].Node = "n2", "n2" }, 1, 1},
		"of another lost cluster":      {func(o *authority.RestoreOffer) { o.Lost = api.Digest{1} }, 0, 1},
		"without an adoption":          {func(o *authority.RestoreOffer) { o.Adoptions = nil }, 0, 1},
		"by an adoption that nobody signed": {func(o *authority.RestoreOffer) {
			e, err := authority.ParseEntry(o.Adoptions[0])
			must(t, err)
			e.Signatures = nil
			o.Adoptions = [][]byte{e.Encode()}
		}, 0, 1},
		"for the seal of a third node": {func(o *authority.RestoreOffer) { o.Seals[0].Node = "n3" }, 0, 1},
		"for one seal twice":           {func(o *authority.RestoreOffer) { o.Seals[1] = o.Seals[0] }, 0, 1},
		"for no seal":                  {func(o *authority.RestoreOffer) { o.Seals = nil }, 0, 1},
		"without an attempt":           {func(o *authority.RestoreOffer) { o.Nonce = nil }, 0, 1},
		"without a door":               {func(o *authority.RestoreOffer) { o.Seals[0].Door = nil }, 0, 1},
		"with a lock of one custodian": {func(o *authority.RestoreOffer) { o.Seals[0].Kept.Keepers = o.Seals[0].Kept.Keepers[:1] }, 0, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := good
			o.Seals = slices.Clone(good.Seals)
			tt.spoil(&o)
			if _, err := client.ParseRestoreOffer(h.sign(t, &o, tt.from, tt.to), h.genesis); !errors.Is(err, authority.ErrRestoreOffer) {
				t.Errorf("it is believed: %v", err)
			}
		})
	}
	// What was altered after it was signed: another door would read the pieces.
	door, err := unseal.NewDoor(rand.Reader, unseal.Seal{})
	must(t, err)
	stolen := bytes.Replace(h.offers[0], good.Seals[0].Door, door.PublicKey(), 1)
	if _, err := client.ParseRestoreOffer(stolen, h.genesis); bytes.Equal(stolen, h.offers[0]) || !errors.Is(err, authority.ErrSignature) {
		t.Errorf("with another door: %v", err)
	}
	if _, err := h.last().HandOver(authority.Fingerprint{1}, h.old[0].open); !errors.Is(err, client.ErrNoPiece) {
		t.Errorf("to who has no piece: %v", err)
	}
	if _, err := h.last().HandOver(h.old[0].key(), h.old[1].open); !errors.Is(err, unseal.ErrBox) {
		t.Errorf("with another's key: %v", err)
	}
}

// What can be refused is refused before a custodian is troubled.
func TestCustodiansAreNotAskedInVain(t *testing.T) {
	for sentence, tt := range map[string]struct {
		spoil func(*lockedHeir)
		want  error
	}{
		"no way to ask them":        {func(h *lockedHeir) { h.by = nil }, ErrPieces},
		"the token of another node": {func(h *lockedHeir) { h.token = 1 }, ErrWrongToken},
		"a node that takes another share": {func(h *lockedHeir) {
			h.takers = []string{"n3", "n2", ""}
			h.adoption = h.adopts
		}, ErrNotTaker},
		"a node of the new cluster that is not born": {func(h *lockedHeir) {
			h.takers, h.into, h.adoption = []string{"n1", "n3", ""}, 0, h.adopts
		}, ErrUnborn},
		"a lock that an older program did not keep": {func(h *lockedHeir) {
			ring, err := keyring.Open(h.heir.store)
			must(t, err)
			defer ring.Wipe()
			_, err = ring.Erase(t.Context(), func() (keyring.Lock, error) {
				return keyring.Lock{Generation: 3, Unseal: secret.New(bytes.Repeat([]byte{3}, 32))}, nil
			}, func(keyring.Held) bool { return false })
			must(t, err)
			h.heir.store.Unseal = secret.New(bytes.Repeat([]byte{3}, 32))
		}, ErrNoLock},
	} {
		t.Run(sentence, func(t *testing.T) {
			h := newLockedHeir(t)
			tt.spoil(h)
			if _, err := h.restore(asItIs); !errors.Is(err, tt.want) || len(h.offers) != 0 {
				t.Errorf("%v, after %d offers", err, len(h.offers))
			}
			if h.has() || len(h.seals()) != 1 {
				t.Errorf("something was moved, or the old token has %v", h.seals())
			}
		})
	}
	// A backup that is dead: its own custodians are not asked, and it says so.
	h := newLockedHeir(t)
	must(t, openSoft(t, h.dirs[0]).DestroyKey("root.2"))
	h.turns = []func(*client.RestoreOffer) []byte{h.hands(h.now[0]), h.hands(h.now[1])}
	if _, err := h.restore(asItIs); !errors.Is(err, ErrDead) || len(h.last().Seals) != 1 {
		t.Errorf("a dead backup: %v", err)
	}
}

// A folder gives each file once, and again when it is another one.
func TestAFolderForPieces(t *testing.T) {
	var says strings.Builder
	f := &Folder{Context: t.Context(), Dir: filepath.Join(t.TempDir(), "pieces"), Say: &says}
	must(t, f.Offer([]byte("the offer")))
	if b, err := os.ReadFile(filepath.Join(f.Dir, offerName)); err != nil || string(b) != "the offer" {
		t.Fatalf("%q, %v", b, err)
	}
	put := func(name, content string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(f.Dir, name), []byte(content), 0o600))
	}
	put("alice.piece", "one")
	if b, from, err := f.Next(); err != nil || string(b) != "one" || from != "alice.piece" {
		t.Errorf("%q of %s, %v", b, from, err)
	}
	if b, from, err := f.look(); err != nil || from != "" {
		t.Errorf("looked at again: %q of %s, %v", b, from, err)
	}
	time.AfterFunc(50*time.Millisecond, func() { put("alice.piece", "another") })
	if b, _, err := f.Next(); err != nil || string(b) != "another" && string(b) != "" {
		t.Errorf("%q, %v", b, err)
	}
	f.Took("alice.piece", "bob is needed", errPiece)
	if !strings.Contains(says.String(), "alice.piece: of no use here; bob is needed\n") {
		t.Errorf("it says %q", says.String())
	}
}
