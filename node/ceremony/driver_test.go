package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// fault is what becomes of one submission.
type fault int

const (
	none       fault = iota
	failed           // it is lost
	unanswered       // it is taken, and the driver hears an error
)

var errFault = errors.New("the node was killed")

// held names a share by the session that made it.
type held struct {
	session api.Digest
	key     api.KeyID
}

// stage is a cluster of drivers on one ledger, under one clock.
type stage struct {
	*trial.Cluster
	t       *testing.T
	now     time.Time
	drivers map[string]*Driver
	devices map[string]*breakable
	dirs    map[string]string
	shares  map[string]map[held]*group.Scalar // confirmed, by node
	posts   []string                          // "node kind" of statements taken, anchors aside
	refused []string
	fault   func(node, kind string, body any) fault
	killed  bool // the last submission ended with a fault
	applied uint64
	sets    func(node string, ses *ledger.Session, sets *tprf.Share) error
}

// breakable is a device whose Seal can fail, and that can keep keys.
type breakable struct {
	hsm.Device
	broken, keeps bool
}

func (b *breakable) DestroyKey(label string) error {
	if b.keeps {
		return hsm.ErrDevice
	}
	return b.Device.DestroyKey(label)
}

func (b *breakable) Seal(label string, plain secret.Bytes, aad []byte) ([]byte, error) {
	if b.broken {
		return nil, hsm.ErrDevice
	}
	return b.Device.Seal(label, plain, aad)
}

var quiet = slog.New(slog.DiscardHandler)

func newStage(t *testing.T) *stage {
	t.Helper()
	return newStageOf(t, 2, 3)
}

func newStageOf(t *testing.T, threshold, h int) *stage {
	t.Helper()
	s := &stage{
		Cluster: trial.New(t, threshold, h), t: t, now: time.Unix(1000, 0),
		drivers: map[string]*Driver{}, devices: map[string]*breakable{}, dirs: map[string]string{},
		shares: map[string]map[held]*group.Scalar{},
		fault:  func(string, string, any) fault { return none },
	}
	for _, m := range s.Genesis.Roster {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "ceremony"), 0o700); err != nil {
			t.Fatal(err)
		}
		dev, err := soft.Open(soft.Config{Dir: filepath.Join(dir, "hsm"), Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		s.devices[m.ID], s.dirs[m.ID] = &breakable{Device: dev}, filepath.Join(dir, "ceremony")
		s.shares[m.ID] = map[held]*group.Scalar{}
		s.start(m.ID, quiet)
	}
	return s
}

// start makes a node's driver, as a new process would.
func (s *stage) start(node string, log *slog.Logger) {
	s.drivers[node] = New(Config{
		Cluster: s.Genesis.Cluster, Node: node, Dir: s.dirs[node], Device: s.devices[node], Rand: rand.Reader,
		Now: func() time.Time { return s.now },
		Submit: func(_ context.Context, kind string, body any) error {
			f := s.fault(node, kind, body)
			s.killed = s.killed || f != none
			if f == failed {
				return errFault
			}
			err := s.Say(node, kind, body)
			if err == nil {
				name := node + " " + kind
				if p, ok := body.(authority.Post); ok {
					name += fmt.Sprintf(" %v", dkg.Kind(p.Kind))
				}
				s.posts = append(s.posts, name)
			} else {
				s.refused = append(s.refused, node+" "+kind)
			}
			if f == unanswered {
				return errFault
			}
			return err
		},
		Old: func(now *ledger.State, ses *ledger.Session) ([]*group.Scalar, error) {
			var out []*group.Scalar
			for _, of := range ses.Keys {
				k := now.KeyVersion(of.Key, of.Version)
				out = append(out, s.shares[node][held{k.Session, k.ID}].Add(group.SmallScalar(0)))
			}
			return out, nil
		},
		Confirm: func(_ context.Context, now *ledger.State, ses *ledger.Session, index sharing.Index, shares []*group.Scalar) error {
			var keys []api.KeyID
			pool := now.PoolOf(ses.Order) != nil
			for i := range shares {
				if pool {
					keys = append(keys, authority.PooledKeyID(ses.ID, uint32(i+1)))
				}
			}
			if len(ses.Keys) == 0 && !pool {
				key, _ := now.OrderByHash(ses.Order).Order.Bears(ses.ID)
				keys = append(keys, key)
			}
			for _, of := range ses.Keys {
				keys = append(keys, of.Key)
			}
			for i, key := range keys {
				at := held{ses.ID, key}
				if have := s.shares[node][at]; have != nil && !have.Equal(shares[i]) {
					return errors.New("another share than the one that was made durable")
				}
				s.shares[node][at] = shares[i].Add(group.SmallScalar(0))
			}
			if got := ses.PlaceOf(node); got != index {
				return fmt.Errorf("index %d, not %d", index, got)
			}
			return nil
		},
		ConfirmSets: func(_ context.Context, _ *ledger.State, ses *ledger.Session, sets *tprf.Share) error {
			return s.sets(node, ses, sets)
		},
		SignRecord: func(r *authority.KeyRecord) (authority.Signature, error) {
			return authority.SignRecord(rand.Reader, s.Node(node), r)
		},
		Log: log, Applied: s.applied,
	})
}

// tick lets each of these nodes look at the ledger once, and a second pass.
func (s *stage) tick(nodes ...string) {
	for _, node := range nodes {
		s.drivers[node].Step(context.Background(), s.State())
	}
	s.now = s.now.Add(time.Second)
}

// until ticks until done says so.
func (s *stage) until(what string, done func() bool, nodes ...string) {
	s.t.Helper()
	for range 600 {
		if done() {
			return
		}
		s.tick(nodes...)
	}
	s.t.Fatalf("it never came to this: %s; taken: %v; refused: %v", what, s.posts, s.refused)
}

func (s *stage) rootBorn() bool { return s.State().RootKey() != nil }

var all = []string{"n1", "n2", "n3"}

// checkShares holds every confirmed share of a key against its verification key.
func (s *stage) checkShares(k *ledger.Key, nodes ...string) {
	s.t.Helper()
	for _, node := range nodes {
		yi, err := group.DecodePoint(k.Record.YI[k.IndexOf(node)-1])
		if err != nil {
			s.t.Fatal(err)
		}
		if share := s.shares[node][held{k.Session, k.ID}]; share == nil || !group.BaseMul(share).Equal(yi) {
			s.t.Errorf("%s has no share that fits", node)
		}
	}
}

// checkGone finds no session file and no session key.
func (s *stage) checkGone(nodes ...string) {
	s.t.Helper()
	s.tick(nodes...)
	for _, node := range nodes {
		if left, err := os.ReadDir(s.dirs[node]); err != nil || len(left) > 0 {
			s.t.Errorf("%s keeps %v, %v", node, left, err)
		}
		if labels, err := s.devices[node].Labels(); err != nil || len(labels) > 0 {
			s.t.Errorf("the token of %s keeps %v, %v", node, labels, err)
		}
		if n := len(s.drivers[node].sessions); n > 0 {
			s.t.Errorf("%s remembers %d sessions", node, n)
		}
	}
}

func TestABirthOfTheRootKeyAndOfANamedKey(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	s.checkShares(s.State().RootKey(), all...)
	s.checkGone(all...)
	if r := s.Apply(s.Order("demo")); r.Err != nil {
		t.Fatal(r.Err)
	}
	signed := func() bool { k := s.State().KeyNamed("demo"); return k != nil && len(k.Signed) == 3 }
	s.until("the key demo is born and signed", signed, all...)
	s.checkShares(s.State().KeyNamed("demo"), all...)
	s.checkGone(all...)
	want := []string{
		"n1 activate", "n1 open", "n1 post commit", "n1 post deal", "n1 post join", "n1 post receipt", "n1 post verdict",
		"n2 post commit", "n2 post deal", "n2 post join", "n2 post receipt", "n2 post verdict",
		"n3 post commit", "n3 post deal", "n3 post join", "n3 post receipt", "n3 post verdict",
	}
	counts := map[string]int{}
	for _, p := range s.posts {
		counts[p]++
	}
	for _, w := range want {
		if counts[w] != 2 {
			t.Errorf("%q was taken %d times in two births", w, counts[w])
		}
	}
	if len(s.refused) > 0 {
		t.Errorf("refused: %v", s.refused)
	}
	if n := len(s.posts); n != 2*len(want)+3 {
		t.Errorf("%d statements: %v", n, s.posts)
	}
}

// R9: every driver is killed at each of its submissions, once before and once
// after the ledger has taken it, and made anew from what it stored.
func TestAKillAtEachSubmissionEndsInTheSameBirth(t *testing.T) {
	for _, f := range []fault{failed, unanswered} {
		t.Run([]string{failed: "failed", unanswered: "failed, but persisted"}[f], func(t *testing.T) {
			s := newStage(t)
			killed := map[string]bool{}
			bodies := map[string][]byte{}
			s.fault = func(node, kind string, body any) fault {
				name := node + " " + kind
				if p, ok := body.(authority.Post); ok {
					name += fmt.Sprintf(" %v", dkg.Kind(p.Kind))
					if before := bodies[name]; before != nil && !bytes.Equal(before, p.Body) {
						t.Errorf("%s: other bytes after the kill", name)
					}
					bodies[name] = p.Body
				}
				if killed[name] {
					return none
				}
				killed[name] = true
				return f
			}
			s.until("the root key is born", func() bool {
				for _, node := range all {
					s.killed = false
					s.tick(node)
					if s.killed {
						s.start(node, quiet)
					}
				}
				return s.rootBorn()
			})
			if n := len(killed); n < 17 { // open, activate, and five posts of three
				t.Errorf("%d kills: %v", n, slices.Sorted(maps.Keys(killed)))
			}
			s.fault = func(string, string, any) fault { return none }
			s.checkShares(s.State().RootKey(), all...)
			s.checkGone(all...)
			if o := s.State().Orders()[0]; o.Attempt != 1 {
				t.Errorf("attempt %d", o.Attempt)
			}
		})
	}
}

func TestASilentHolderIsWaitedForAndThenLeftOut(t *testing.T) {
	s := newStage(t)
	quietly := []string{"n1", "n2"}
	late := func(kind string) bool {
		return slices.ContainsFunc(s.posts, func(p string) bool { return strings.HasSuffix(p, kind) })
	}
	s.until("both joined", func() bool { return slices.Contains(s.posts, "n2 post join") }, quietly...)
	for range trial.PhaseSeconds - 5 {
		s.tick(quietly...)
	}
	if late(authority.KindDeadline) {
		t.Fatal("a deadline before its time")
	}
	// With n3 silent from the start there are two receipts, and R is 3 for 2-of-3
	// with f = 1: the birth waits for n3's, or for its voice.
	session := s.State().Orders()[0].Live
	s.until("the others confirmed", func() bool {
		return len(s.State().Session(session).Board.Receipts()) == 2
	}, quietly...)
	if !late(authority.KindDeadline) || s.rootBorn() {
		t.Fatalf("taken: %v", s.posts)
	}
	for _, node := range quietly {
		if s.shares[node][held{session, authority.KeyIDOf(session)}] == nil {
			t.Errorf("%s confirmed without a durable share", node)
		}
	}
}

// A session that fails is never used again (R15, R17): the next has another id,
// and nothing of the first is left.
func TestAnAbandonedSessionIsFollowedByAnother(t *testing.T) {
	s := newStage(t)
	s.until("a session is open", func() bool { return !s.State().Orders()[0].Live.IsZero() }, all...)
	first := s.State().Orders()[0].Live
	// n2 and n3 never deal: one dealer is left, t are needed.
	s.fault = func(node, kind string, body any) fault {
		if p, ok := body.(authority.Post); ok && dkg.Kind(p.Kind) == dkg.KindDeal && node != "n1" {
			return failed
		}
		return none
	}
	s.until("the session is abandoned", func() bool { return s.State().Orders()[0].Live != first }, all...)
	if _, gone := s.State().Session(first).Board.Abandoned(); !gone {
		t.Fatalf("it was not abandoned: %v, %v", s.State().Session(first).Board.Phase(), s.posts)
	}
	s.fault = func(string, string, any) fault { return none }
	s.until("the root key is born", s.rootBorn, all...)
	if k := s.State().RootKey(); k.Session == first {
		t.Fatal("the failed session was used")
	}
	s.checkShares(s.State().RootKey(), all...)
	s.checkGone(all...)
}

func TestNothingIsPostedBeforeItWasSealed(t *testing.T) {
	s := newStage(t)
	s.until("a session is open", func() bool { return !s.State().Orders()[0].Live.IsZero() }, "n1")
	s.devices["n2"].broken = true
	for range 10 {
		s.tick("n2")
	}
	if slices.ContainsFunc(s.posts, func(p string) bool { return strings.HasPrefix(p, "n2 post") }) {
		t.Fatalf("posted: %v", s.posts)
	}
	s.devices["n2"].broken = false
	s.until("the root key is born", s.rootBorn, all...)
	s.checkShares(s.State().RootKey(), all...)
}

// The receipt is not posted before the share is durable.
func TestNoReceiptWithoutADurableShare(t *testing.T) {
	s := newStage(t)
	confirm := s.drivers["n3"].cfg.Confirm
	s.drivers["n3"].cfg.Confirm = func(context.Context, *ledger.State, *ledger.Session, sharing.Index, []*group.Scalar) error {
		return errors.New("the disk is full")
	}
	s.until("the others confirmed", func() bool { return slices.Contains(s.posts, "n2 post receipt") }, all...)
	for range 10 {
		s.tick(all...)
	}
	if slices.Contains(s.posts, "n3 post receipt") {
		t.Fatal("a receipt without a share")
	}
	// It says all the same that the phase is late, when it is.
	for range trial.PhaseSeconds {
		s.tick(all...)
	}
	if !slices.Contains(s.posts, "n3 deadline") {
		t.Fatalf("taken: %v", s.posts)
	}
	s.drivers["n3"].cfg.Confirm = confirm
	s.until("the root key is born", s.rootBorn, all...)
	s.checkShares(s.State().RootKey(), all...)
}

// A node whose sealed state is lost posts nothing under its old name, and one
// whose state is another's does not open it.
func TestALostOrForeignStateIsNotGoneOnFrom(t *testing.T) {
	for sentence, spoil := range map[string]func(s *stage, file string) error{
		"lost":    func(_ *stage, file string) error { return os.Remove(file) },
		"altered": func(_ *stage, file string) error { return os.WriteFile(file, []byte("altered"), 0o600) },
		"another node's": func(s *stage, file string) error {
			b, err := os.ReadFile(filepath.Join(s.dirs["n1"], filepath.Base(file)))
			return errors.Join(err, os.WriteFile(file, b, 0o600))
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStage(t)
			s.until("n2 committed", func() bool { return slices.Contains(s.posts, "n2 post commit") }, all...)
			files, err := filepath.Glob(filepath.Join(s.dirs["n2"], "*"+suffix))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			if err := spoil(s, files[0]); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s.start("n2", slog.New(slog.NewTextHandler(&log, nil)))
			before := len(s.posts)
			for range 10 {
				s.tick("n2")
			}
			posted := slices.ContainsFunc(s.posts[before:], func(p string) bool { return strings.HasPrefix(p, "n2 post") })
			if posted || !strings.Contains(log.String(), "does not go on") {
				t.Fatalf("posted %v, logged %q", s.posts[before:], log.String())
			}
		})
	}
}

// What a crash left of a session that ended while the node was down goes, half
// written files too, also when the ledger has forgotten the session meanwhile. A
// ledger that is behind what the node has seen does not say that a session is over.
func TestWhatACrashLeftOfAnEndedSessionGoes(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		s := newStage(t)
		s.until("n2 committed", func() bool { return slices.Contains(s.posts, "n2 post commit") }, all...)
		files, _ := filepath.Glob(filepath.Join(s.dirs["n2"], "*"+suffix))
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		s.until("the root key is born", s.rootBorn, all...)
		s.checkGone(all...)
		session := s.State().RootKey().Session
		if forgotten {
			for i := range uint64(3) {
				for _, n := range all {
					if err := s.Say(n, authority.KindAnchor, authority.Anchor{Counter: 10 + i, Time: trial.Created + 200_000_000}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if is := s.State().Session(session) == nil; is != forgotten {
			t.Fatalf("the session is forgotten: %v", is)
		}
		if err := s.devices["n2"].CreateKey(hsmLabel(session)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{files[0], files[0] + keyring.Unfinished} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.applied = s.State().Position().Index + 1
		s.start("n2", quiet)
		s.drivers["n2"].Step(t.Context(), s.State())
		if _, err := os.Stat(files[0]); err != nil {
			t.Errorf("a ledger that is behind took a session away: %v", err)
		}
		if err := s.Say("n1", authority.KindAnchor, authority.Anchor{Counter: 100, Time: trial.Created}); err != nil {
			t.Fatal(err)
		}
		s.drivers["n2"].Step(t.Context(), s.State())
		s.checkGone("n2")
	}
}

// While the token keeps the key of a session that is over, its state can be opened: then
// no node may say that an old share, the constant term there, is erased.
func TestASessionIsForgottenWhenItsKeyIsDestroyed(t *testing.T) {
	s := newStage(t)
	s.devices["n2"].keeps = true
	s.until("the root key is born", s.rootBorn, all...)
	s.tick(all...)
	at := s.State()
	step := func(node string) uint64 {
		s.drivers[node].Step(t.Context(), at)
		return s.drivers[node].Forgotten()
	}
	if got := step("n1"); got != at.Position().Index {
		t.Errorf("n1 has forgotten what was over at %d, it is %d", got, at.Position().Index)
	}
	if got := step("n2"); got >= at.RootKey().BornAt {
		t.Errorf("n2 has forgotten what was over at %d, and keeps a session that was over at %d", got, at.RootKey().BornAt)
	}
	s.devices["n2"].keeps = false
	if got := step("n2"); got != at.Position().Index {
		t.Errorf("n2 has forgotten what was over at %d, it is %d", got, at.Position().Index)
	}
}

// R25: nothing of a participant's secrets is logged.
func TestTheLogHoldsNoSecret(t *testing.T) {
	s := newStage(t)
	var log bytes.Buffer
	for _, node := range all {
		s.start(node, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
	kept := s.keepSets()
	s.until("the root key is born", s.rootBorn, all...)
	s.until("a symmetric key is born", s.orderSymmetric("demo"), all...)
	holds := func(b []byte) bool {
		return strings.Contains(log.String(), string(b)) || strings.Contains(log.String(), fmt.Sprintf("%x", b))
	}
	for _, node := range all {
		for _, share := range s.shares[node] {
			if holds(share.Bytes()) {
				t.Errorf("the log holds the share of %s", node)
			}
		}
		if len(kept[node]) != 1 {
			t.Fatalf("%s has shares of %d symmetric keys", node, len(kept[node]))
		}
		for _, share := range kept[node] {
			for key := range slices.Chunk(share.Bytes().Reveal(), tprf.SetKeySize) {
				if holds(key) {
					t.Errorf("the log holds a set key of %s", node)
				}
			}
		}
	}
	if !strings.Contains(log.String(), "ceremony") {
		t.Fatal("nothing was logged at all")
	}
}

// Several holders may open; they take turns, so that one does while it lives, and
// another when it does not.
func TestHoldersTakeTurns(t *testing.T) {
	s := newStage(t)
	s.tick("n3", "n2")
	if len(s.posts) > 0 {
		t.Fatalf("out of turn: %v", s.posts)
	}
	s.until("n2 opens for the silent n1", func() bool { return slices.Contains(s.posts, "n2 open") }, "n3", "n2")
}

func TestWhatTheDriverRemembersIsBounded(t *testing.T) {
	s := newStage(t)
	d := s.drivers["n1"]
	for i := range maxRemembered + 1 {
		d.sent[fmt.Sprint(i)] = s.now
	}
	s.tick("n1")
	if n := len(d.sent) + len(d.since); n > 10 {
		t.Fatalf("%d remembered", n)
	}
}
