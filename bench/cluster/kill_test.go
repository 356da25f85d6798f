package cluster_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

var (
	everyNode = flag.Bool("every-node", false, "kill each of the five nodes at each step, before it and after it; without it, they take turns")
	// life is a cluster of ten, so that one that failed can be played again.
	life = flag.Int("life", 0, "without -every-node: which of the ten clusters whose shares turn over")
	// running is left to make kills: four births under fire take minutes.
	running = flag.Bool("running", false, "kill the nodes of a running cluster too, not only those of one that is being made")
)

// birthPatience is how long a birth under fire may take: two sessions, each of whose
// five phases may have to run out because a holder is just away.
const birthPatience = 2*5*30*time.Second + patience

// modes are how a step fails: it did not take place, or it did and nobody heard.
var modes = []string{"failed", "persisted"}

// kill is one death that is planned.
type kill struct {
	row
	mode  string
	node  string
	after int  // hits of the step that come before the node's last death, and are not counted
	done  bool // guarded by killer.mu
}

// killer arms the nodes of a cluster, one step each at a time, and sees them die.
type killer struct {
	t   *testing.T
	dir string
	// died is told of each death, before the node is started again; it may be nil.
	died func(*kill)

	mu     sync.Mutex
	queue  map[string][]*kill // by node; the first is armed; guarded by mu
	orders int                // so that no two are the same, and hits are counted anew; guarded by mu
	alien  []string           // deaths that nobody planned; guarded by mu
}

func newKiller(t *testing.T) *killer {
	return &killer{t: t, dir: t.TempDir(), queue: map[string][]*kill{}}
}

func (k *killer) file(node string) string { return filepath.Join(k.dir, node) }

func (k *killer) environment(node string) []string {
	return []string{"WARIFU_FAILPOINT=" + k.file(node)}
}

// plan puts kills in their nodes' queues.
func (k *killer) plan(kills ...*kill) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range kills {
		k.queue[p.node] = append(k.queue[p.node], p)
		if len(k.queue[p.node]) == 1 {
			k.arm(p.node)
		}
	}
}

// arm writes what the node's first kill is, or that there is none.
func (k *killer) arm(node string) {
	var text string
	if q := k.queue[node]; len(q) > 0 {
		k.orders++
		text = fmt.Sprintf("%s %s %d order %d", q[0].step, q[0].mode, q[0].hit-q[0].after, k.orders)
	}
	next := k.file(node) + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, k.file(node))); err != nil {
		k.t.Error(err)
	}
}

// revive is asked about every process that was killed, and by nobody here: it must
// have died where it was to.
func (k *killer) revive(node string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	fired, err := os.ReadFile(k.file(node) + ".fired")
	_ = os.Remove(k.file(node) + ".fired")
	q := k.queue[node]
	if err != nil || len(q) == 0 || string(fired) != q[0].step+" "+q[0].mode {
		k.alien = append(k.alien, fmt.Sprintf("%s died at %q, %v", node, fired, err))
		return false
	}
	q[0].done = true
	if k.died != nil {
		k.died(q[0])
	}
	k.queue[node] = q[1:]
	k.arm(node)
	return true
}

// left takes back the kills that did not take place.
func (k *killer) left() (rest []*kill) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for node, q := range k.queue {
		rest = append(rest, q...)
		k.queue[node] = nil
		k.arm(node)
	}
	return rest
}

func (k *killer) waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, q := range k.queue {
		n += len(q)
	}
	return n
}

// trial is one cluster that is killed again and again.
type trial struct {
	*testing.T
	*killer
	c    *cluster.Cluster
	cl   *client.Client
	keys []*client.Key
	n    int // keys ordered
}

// newTrial starts a cluster while its nodes die at the steps of kills.
func newTrial(t *testing.T, cfg cluster.Config, died func(*kill), kills ...*kill) *trial {
	k := newKiller(t)
	k.died = died
	k.plan(kills...)
	cfg.Dir, cfg.Bin, cfg.AuditReserve, cfg.PhaseSeconds = t.TempDir(), faultyBin(t), 1<<20, 30
	cfg.Environment, cfg.Revive = k.environment, k.revive
	t.Cleanup(func() {
		logs, _ := filepath.Glob(filepath.Join(cfg.Dir, "nodes", "*", "log"))
		for _, path := range logs {
			if b, err := os.ReadFile(path); err == nil && t.Failed() {
				t.Logf("%s:\n%s", path, b[max(0, len(b)-3000):])
			}
		}
	})
	c, err := cluster.Start(within(t, patience), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &trial{T: t, killer: k, c: c}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(patience); k.waiting() > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // an anchor may come after the birth
	}
	r.fired("the start of a cluster")
	r.serving()
	r.furnish()
	return r
}

// fired fails if a kill did not take place, or one took place that was not planned.
func (r *trial) fired(during string) {
	r.Helper()
	for _, p := range r.left() {
		r.Errorf("%s: %s was not reached at %s, %s", during, p.step, p.node, p.mode)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range r.alien {
		r.Errorf("%s: %s", during, what)
	}
	r.alien = nil
}

// furnish lets the application unwrap with every key, and read every audit.
func (r *trial) furnish() {
	r.Helper()
	ctx := within(r.T, patience)
	err := r.c.PutCA(ctx)
	if err == nil {
		err = r.c.PutPolicy(ctx, policy.Document{
			Format: policy.Format, Rotate: rotateSeconds,
			Text: `@id("apps-may-unwrap") permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrap", resource);`,
			Entities: `[{"uid": {"type": "Warifu::Principal", "id": "` + cluster.AppURI + `"},
				"parents": [{"type": "Warifu::Group", "id": "apps"}], "attrs": {}},
				{"uid": {"type": "Warifu::Principal", "id": "spiffe://trial/auditor"},
				"parents": [{"type": "Warifu::Group", "id": "auditors"}], "attrs": {}}]`,
			Limits: "[[approver]]\nname = \"one\"\nkey = \"" + base64.RawURLEncoding.EncodeToString(r.approver().PublicKey()) +
				"\"\n[[approval]]\nname = \"one\"\ncount = 1\nof = [\"one\"]\n",
		})
	}
	if err != nil {
		r.Fatal(err)
	}
	r.cl = app(r.T, r.c)
}

// order commands a key whose holders are listed from one on: the one who opens its
// ceremony and activates it.
func (r *trial) order(first string, phaseSeconds int) string {
	r.Helper()
	r.n++
	name := fmt.Sprintf("key-%d", r.n)
	ids := r.c.IDs()
	at := slices.Index(ids, first)
	body := wire.Encode(authority.Order{
		Cluster: r.c.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: 3, F: 1,
		Holders: slices.Concat(ids[at:], ids[:at]), PhaseSeconds: uint32(phaseSeconds),
	})
	eventually(r.T, "the order of a key is taken", func() bool {
		_, err := r.c.Submit(r.Context(), authority.KindKey, body, api.Digest{})
		return err == nil || strings.Contains(err.Error(), "taken")
	})
	return name
}

// born waits until a key lives, every node serves, and the key opens.
func (r *trial) born(name string) *client.Key {
	r.Helper()
	key, err := r.cl.WaitKey(within(r.T, birthPatience), name)
	if err != nil {
		r.Fatal(err)
	}
	r.serving()
	eventually(r.T, "the key opens", func() bool { return open(r.T, key, r.cl) == nil })
	return key
}

func (r *trial) serving() {
	r.Helper()
	eventually(r.T, "every node runs", func() bool {
		return !slices.ContainsFunc(r.c.IDs(), func(id string) bool { return r.c.PID(id) == 0 })
	})
	if err := r.c.WaitServing(within(r.T, patience)); err != nil {
		r.Fatal(err)
	}
}

// birth bears keys until every kill has taken place: a node that is just away when
// its turn comes is killed in the next one.
func (r *trial) birth(kills ...*kill) {
	r.Helper()
	for range 3 {
		first := kills[0].node
		for _, p := range kills {
			if p.first && !p.done {
				first = p.node
			}
		}
		r.plan(kills...)
		key := r.born(r.order(first, 30))
		r.keys = append(r.keys, key)
		for end := time.Now().Add(3 * time.Second); r.waiting() > 0 && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond) // records and ends of sessions come after the birth
		}
		if kills = r.left(); len(kills) == 0 {
			break
		}
	}
	r.plan(kills...)
	r.fired("the birth of a key")
	r.serving()
}

// unwraps asks for partials until every kill has taken place.
func (r *trial) unwraps(kills ...*kill) {
	r.Helper()
	r.plan(kills...)
	eventually(r.T, "a death at each step of an unwrap", func() bool {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		_ = r.tryOpen(ctx)
		return r.waiting() == 0
	})
	r.fired("unwraps")
	r.serving()
}

func (r *trial) tryOpen(ctx context.Context) error {
	dek := make([]byte, 32)
	rand.Read(dek)
	e, err := r.keys[0].Wrap(rand.Reader, trialContext, secret.New(dek))
	if err != nil {
		r.Fatal(err)
	}
	_, err = r.cl.Unwrap(ctx, e, trialContext, "the test asks")
	return err
}

// starts starts nodes again, each of which dies at one step after the other. Each
// has an older generation to destroy, and what never became one.
func (r *trial) starts(kills ...*kill) {
	r.Helper()
	nodes := map[string]bool{}
	for _, p := range kills {
		nodes[p.node] = true
	}
	for id := range nodes {
		if err := r.c.Stop(id); err != nil {
			r.Fatal(err)
		}
		sealed := filepath.Join(r.c.Dir(id), "seal")
		roots, _ := filepath.Glob(filepath.Join(sealed, "root-*.sealed")) // of its generation; a repair makes the second
		if len(roots) != 1 {
			r.Fatalf("%s keeps %v", id, roots)
		}
		b, err := os.ReadFile(roots[0])
		if err == nil {
			err = os.WriteFile(filepath.Join(sealed, "root-0.sealed"), b, 0o600)
		}
		if err == nil {
			err = r.token(id, func(d *soft.Device) error {
				return errors.Join(d.CreateKey("root.0"), d.CreateKey("root.7"), d.CreateKey("session.00"))
			})
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(sealed, "keyring-7.sealed"), b, 0o600)
		}
		if err != nil {
			r.Fatal(err)
		}
	}
	r.plan(kills...)
	for id := range nodes {
		if err := r.c.Restart(id); err != nil {
			r.Fatal(err)
		}
	}
	eventually(r.T, "a death at each step of a start", func() bool { return r.waiting() == 0 })
	r.fired("starts")
	r.serving()
}

// elsewhere starts nodes at other addresses, and they die when they claim them; others
// find them there all the same, and where they were when they are back.
func (r *trial) elsewhere(kills ...*kill) {
	r.Helper()
	for _, p := range kills {
		for i, move := range []func(string) error{r.c.Move, r.c.MoveBack} {
			if err := r.c.Stop(p.node); err != nil {
				r.Fatal(err)
			}
			if err := move(p.node); err != nil {
				r.Fatal(err)
			}
			if i == 0 {
				r.plan(p)
			}
			if err := r.c.Restart(p.node); err != nil {
				r.Fatal(err)
			}
			eventually(r.T, "a death at a claim", func() bool { return r.waiting() == 0 })
			r.serving()
			r.agree()
		}
	}
	r.fired("claims of addresses")
}

// stops asks nodes to stop, and they die on their way.
func (r *trial) stops(kills ...*kill) {
	r.Helper()
	for _, p := range kills {
		r.plan(p)
		if err := r.c.Stop(p.node); err != nil {
			r.Fatal(err)
		}
		if !r.revive(p.node) {
			r.Errorf("%s was not killed when it stopped", p.node)
		}
		if err := r.c.Restart(p.node); err != nil {
			r.Fatal(err)
		}
	}
	r.fired("stops")
	r.serving()
}

// unseals starts nodes again, which die when custodians open their seals.
func (r *trial) unseals(kills ...*kill) {
	r.Helper()
	r.plan(kills...)
	for _, p := range kills {
		if err := r.c.Stop(p.node); err != nil {
			r.Fatal(err)
		}
		if err := r.c.Restart(p.node); err != nil {
			r.Fatal(err)
		}
	}
	eventually(r.T, "a death when a seal is opened", func() bool {
		if err := r.c.Unseal(within(r.T, patience)); err != nil {
			r.Fatal(err)
		}
		return r.waiting() == 0
	})
	r.fired("the opening of seals")
	r.serving()
}

// replaces puts the custodians into another order, so that each node has to lock its
// seal anew, until every kill has taken place; those who open seals open what the dead
// come back with, which is locked for them in the one order or in the other.
func (r *trial) replaces(kills ...*kill) {
	r.Helper()
	asks, err := r.c.Custodian()
	if err != nil {
		r.Fatal(err)
	}
	defer asks.Close()
	r.plan(kills...)
	eventually(r.T, "a death at each step of a new lock", func() bool {
		now, err := asks.Custody(r.Context())
		if err != nil {
			return false
		}
		by := authority.Custody{
			Custodians: slices.Concat(now.Genesis.Custodians[1:], now.Genesis.Custodians[:1]),
			Required:   now.Genesis.Required, UnsealCount: now.Genesis.UnsealCount,
		}
		_, _ = r.c.Submit(r.Context(), authority.KindCustodians, wire.Encode(by), now.Last) // it may be lost with a node
		for end := time.Now().Add(10 * time.Second); r.waiting() > 0 && time.Now().Before(end); time.Sleep(time.Second) {
			if err := r.c.Unseal(r.Context()); err != nil {
				r.Fatal(err)
			}
		}
		return r.waiting() == 0
	})
	r.fired("the replacement of custodians")
	r.serving()
	eventually(r.T, "no node is locked for former custodians", func() bool {
		return !slices.ContainsFunc(asks.Status(r.Context()), func(s client.NodeStatus) bool {
			return s.Err != nil || len(s.Answer.FormerLocks) > 0
		})
	})
	r.open()
}

// denials revokes strangers, one after the other, until every kill has taken place.
// Each is handed to every node and then to the ledger, which grows by it, and each
// node that is there answers with its receipt, whatever was interrupted.
func (r *trial) denials(kills ...*kill) {
	r.Helper()
	custodian, err := r.c.Custodian()
	if err != nil {
		r.Fatal(err)
	}
	defer custodian.Close()
	r.plan(kills...)
	deny := func() (*authority.Entry, []client.NodeReceipt) {
		r.n++
		body := wire.Encode(authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectPrincipal, Name: fmt.Sprintf("spiffe://trial/stranger-%d", r.n)}})
		e, err := r.c.Sign(authority.KindRevoke, body, api.Digest{})
		if err != nil {
			r.Fatal(err)
		}
		receipts, err := custodian.Deny(r.Context(), e.Encode())
		if err != nil {
			r.Fatal(err)
		}
		_, _ = custodian.Submit(r.Context(), e.Encode()) // it may be lost with the node that had it
		return e, receipts
	}
	given := map[api.Digest]map[string]bool{}
	eventually(r.T, "a death at each step of a revoke and of a snapshot", func() bool {
		e, receipts := deny()
		given[e.ID()] = map[string]bool{}
		for _, n := range receipts {
			given[e.ID()][n.Node] = n.Err == nil
		}
		return r.waiting() == 0
	})
	r.fired("revokes and snapshots")
	r.serving()
	for id, nodes := range given { // who gave its receipt holds to it
		time.Sleep(time.Second / 40) // a node gives so many receipts a second, and no more
		for _, n := range custodian.Receipts(r.Context(), id) {
			if nodes[n.Node] && n.Err != nil {
				r.Errorf("%s gave its receipt of %s, and then: %v", n.Node, id, n.Err)
			}
		}
	}
}

// sparse makes the files of nodes' denies long and nearly all of them dropped, which
// are written anew with the next revoke.
func (r *trial) sparse(kills ...*kill) {
	r.Helper()
	for _, p := range kills {
		if err := r.c.Stop(p.node); err != nil {
			r.Fatal(err)
		}
		if err := lengthen(filepath.Join(r.c.Dir(p.node), "raft", "denies")); err != nil {
			r.Fatal(err)
		}
		if err := r.c.Restart(p.node); err != nil {
			r.Fatal(err)
		}
	}
	r.serving()
	r.denials(kills...)
}

// lengthen adds records to a file of denies that keep and drop again, over 1 MiB of
// them, by none of the node's own code.
func lengthen(path string) error {
	const page, sparse = 4096, 1 << 20
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := make([]byte, sha256.Size)
	if len(b) > 2*page {
		sum = b[len(b)-sha256.Size:]
	}
	add := func(kind byte, entry []byte) {
		record := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(entry)))
		record = append(record, make([]byte, sha256.Size)...) // its id
		record = append(record, entry...)
		next := sha256.Sum256(slices.Concat(sum, record))
		sum = next[:]
		b = append(append(b, record...), sum...)
	}
	for len(b) < 2*page+sparse {
		add(1, make([]byte, page))
		add(2, nil)
	}
	for _, slot := range []int{0, page} {
		head := binary.BigEndian.AppendUint64([]byte("wrfdeny1"), uint64(len(b)-2*page))
		check := sha256.Sum256(head)
		copy(b[slot:], append(head, check[:]...))
	}
	return os.WriteFile(path, b, 0o600)
}

// token opens the soft token of a node that does not run.
func (r *trial) token(id string, do func(*soft.Device) error) error {
	d, err := soft.Open(soft.Config{Dir: filepath.Join(r.c.Dir(id), "soft-hsm"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// approver is who approves grants here: a custodian's key will do.
func (r *trial) approver() *authority.Signer {
	r.Helper()
	s, err := authority.NewSigner(r.c.CustodianKeys()[0].SignKey())
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// granted opens an envelope by a grant of one use while a node without which there is
// no quorum dies when it binds that use. It is opened when the node is back, and then
// all nodes refuse another envelope by that grant.
func (r *trial) granted(kills ...*kill) {
	r.Helper()
	for _, p := range kills {
		now := time.Now()
		g := authority.Grant{
			Cluster: r.c.Genesis().Cluster, Key: r.keys[0].ID(), Principal: cluster.AppURI, Action: authority.ActionUnwrap, Reason: "the test asks",
			NotBefore: now.Add(-time.Hour).UnixMilli(), NotAfter: now.Add(time.Hour).UnixMilli(), Uses: 1,
		}
		rand.Read(g.Nonce[:])
		e := authority.NewGrant(g)
		if err := authority.SignGrant(rand.Reader, e, r.approver()); err != nil {
			r.Fatal(err)
		}
		if _, err := r.cl.Submit(within(r.T, patience), e.Encode()); err != nil {
			r.Fatal(err)
		}
		eventually(r.T, "every node has the grant", func() bool {
			at, err := r.cl.GrantEverywhere(r.Context(), e.ID())
			return err == nil && len(at) == len(r.c.IDs())
		})
		envelope := func() []byte {
			e, err := r.keys[0].Wrap(rand.Reader, trialContext, secret.New([]byte("sixteen byte key")))
			if err != nil {
				r.Fatal(err)
			}
			return e
		}
		var away []string
		for _, id := range r.c.IDs() {
			if id != p.node && len(away) < 2 {
				away = append(away, id)
			}
		}
		for _, id := range away {
			if err := r.c.Stop(id); err != nil {
				r.Fatal(err)
			}
		}
		r.plan(p)
		first := envelope()
		eventually(r.T, "a death at a use of a grant, and then it is opened", func() bool {
			_, err := r.cl.Granted(e.ID()).Unwrap(r.Context(), first, trialContext, "the test asks")
			return err == nil && r.waiting() == 0
		})
		for _, id := range away {
			if err := r.c.Restart(id); err != nil {
				r.Fatal(err)
			}
		}
		r.fired("a use of a grant")
		r.serving()
		if _, err := r.cl.Granted(e.ID()).Unwrap(r.Context(), envelope(), trialContext, "the test asks"); !errors.Is(err, client.ErrGrant) {
			r.Errorf("another envelope, when %s has died at its %s use: %v", p.node, p.mode, err)
		}
	}
}

// checkpoints has each node sign a checkpoint.
func (r *trial) checkpoints(kills ...*kill) {
	r.Helper()
	cert, err := r.c.NewIdentity("spiffe://trial/auditor")
	if err != nil {
		r.Fatal(err)
	}
	auditor, err := r.c.Client(cert)
	if err != nil {
		r.Fatal(err)
	}
	defer auditor.Close()
	r.plan(kills...)
	for _, p := range kills {
		eventually(r.T, "a death at a checkpoint", func() bool {
			_, _ = auditor.AuditTail(r.Context(), p.node, 1)
			r.mu.Lock()
			defer r.mu.Unlock()
			return p.done
		})
		r.serving()
	}
	r.fired("checkpoints")
}

// late bears a key while one holder is silent: the others close its phases.
func (r *trial) late(kills ...*kill) {
	r.Helper()
	r.plan(kills...)
	ids := r.c.IDs()
	silent := ids[slices.IndexFunc(ids, func(id string) bool {
		return !slices.ContainsFunc(kills, func(p *kill) bool { return p.node == id }) && id != leader(r.T, r.c)
	})]
	if err := r.c.Pause(silent); err != nil {
		r.Fatal(err)
	}
	name := r.order(kills[0].node, 1)
	eventually(r.T, "a death at each deadline", func() bool { return r.waiting() == 0 })
	if err := r.c.Resume(silent); err != nil {
		r.Fatal(err)
	}
	r.fired("a late phase")
	r.born(name)
}

// lost bears a key while one holder loses what it sealed: it dies before its commit,
// the file goes, and it dies again when it says that it cannot go on.
func (r *trial) lost(p *kill) {
	r.Helper()
	r.plan(&kill{row: row{step: "ceremony/post", hit: 2}, mode: "failed", node: p.node}, p)
	ids := r.c.IDs()
	name := r.order(ids[(slices.Index(ids, p.node)+1)%len(ids)], 1)
	eventually(r.T, "a death at the abandoning", func() bool { return r.waiting() == 0 })
	r.fired("a lost state")
	r.born(name)
}

// judge stops the nodes in turn and looks at what is left: every key opens with every
// node needed once, under one epoch, and the nodes agree; then nothing is on disk
// or token that no node uses.
func (r *trial) judge() {
	r.Helper()
	ids := r.c.IDs()
	for _, away := range [][]int{{0, 1}, {2, 3}, {4, 0}} {
		for _, i := range away {
			if err := r.c.Stop(ids[i]); err != nil {
				r.Fatal(err)
			}
		}
		cl := app(r.T, r.c)
		for _, key := range r.keys {
			eventually(r.T, "three nodes open the key "+key.Name(), func() bool { return open(r.T, key, cl) == nil })
		}
		for _, i := range away {
			if err := r.c.Restart(ids[i]); err != nil {
				r.Fatal(err)
			}
		}
		r.serving()
	}
	r.agree()
	for _, id := range ids {
		if err := r.c.Stop(id); err != nil {
			r.Fatal(err)
		}
		r.clean(id)
	}
}

// agree waits until all nodes that run are at one place of one chain.
func (r *trial) agree() {
	r.Helper()
	asks, err := r.c.Custodian()
	if err != nil {
		r.Fatal(err)
	}
	defer asks.Close()
	eventually(r.T, "all nodes agree", func() bool {
		at := map[string]bool{}
		for _, s := range asks.Status(r.Context()) {
			switch {
			case r.c.PID(s.Node) == 0:
				continue
			case s.Err != nil:
				return false
			}
			at[fmt.Sprint(s.Answer.Index, s.Answer.Link, s.Answer.Root)] = true
		}
		return len(at) == 1
	})
}

// open waits until no node offers a seal for custodians to open: one that sealed its
// share anew in the birth, before they opened what it sealed first, forgets that.
func (r *trial) open() {
	r.Helper()
	asks, err := r.c.Custodian()
	if err != nil {
		r.Fatal(err)
	}
	defer asks.Close()
	eventually(r.T, "no seal is left to open", func() bool {
		return !slices.ContainsFunc(asks.Seals(r.Context()), func(s client.NodeSeal) bool { return s.Err != nil || s.Offer.Locked })
	})
}

// clean says what a stopped node keeps that it should not.
func (r *trial) clean(id string) {
	r.Helper()
	var sealed []string
	err := filepath.WalkDir(r.c.Dir(id), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".new"), strings.HasSuffix(name, ".claim"), filepath.Base(filepath.Dir(path)) == "ceremony":
			r.Errorf("%s keeps %s", id, path)
		case filepath.Base(filepath.Dir(path)) == "seal":
			sealed = append(sealed, name)
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	// A node that died before it could open what it had sealed in the birth sealed
	// its share again.
	g := 1
	if len(sealed) > 0 {
		_, _ = fmt.Sscanf(sealed[0], "keyring-%d.sealed", &g)
	}
	want := []string{fmt.Sprintf("keyring-%d.sealed", g), fmt.Sprintf("root-%d.sealed", g)}
	if !slices.Equal(sealed, want) {
		r.Errorf("%s keeps %v, not %v", id, sealed, want)
	}
	var labels []string
	if _, err := os.Stat(filepath.Join(r.c.Dir(id), "soft-hsm")); err != nil {
		return
	}
	err = r.token(id, func(d *soft.Device) (err error) { labels, err = d.Labels(); return err })
	if slices.Sort(labels); err != nil || !slices.Equal(labels, []string{"identity", fmt.Sprintf("root.%d", g)}) {
		r.Errorf("the token of %s has the keys %v, %v", id, labels, err)
	}
}

// cells are who died where: the table that the test prints.
type cells struct {
	mu   sync.Mutex
	died map[string]int // by step, hit, mode and node; guarded by mu
}

func (c *cells) add(kills []*kill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range kills {
		if p.done {
			c.died[fmt.Sprint(p.stage, p.step, p.hit, p.mode, p.node)]++
		}
	}
}

// print writes the table, one line for each step, one column for each node: f for
// failed, p for failed but persisted, a dot for what this run left out. The line
// that counts stands by itself. It returns at how many steps somebody died.
func (c *cells) print(t *testing.T, what string, rows []row, ids []string) int {
	deaths, steps := 0, 0
	var b strings.Builder
	fmt.Fprintf(&b, "%-58s %s\n", "killed at", strings.Join(ids, " "))
	for _, r := range rows {
		before := deaths
		fmt.Fprintf(&b, "%-58s", strings.TrimSpace(r.step+" "+r.what))
		for _, id := range ids {
			cell := ""
			for _, mode := range modes {
				if c.died[fmt.Sprint(r.stage, r.step, r.hit, mode, id)] > 0 {
					cell += mode[:1]
					deaths++
				} else {
					cell += "."
				}
			}
			fmt.Fprintf(&b, " %-*s", len(id), cell)
		}
		b.WriteByte('\n')
		if deaths > before {
			steps++
		}
	}
	t.Logf("\n%s", &b)
	if !t.Failed() {
		fmt.Printf("%d deaths at %d of %d steps of %d nodes, %s: each node started again, and all agreed\n", deaths, steps, len(rows), len(ids), what)
	}
	return steps
}

// of are the rows of some stages.
func of(stages ...stage) (rows []row) {
	for _, r := range slices.Concat(kills, turns, moves) {
		if slices.Contains(stages, r.stage) {
			rows = append(rows, r)
		}
	}
	return rows
}

// assign gives each row of a mode a node: they take turns, from offset on.
func assign(rows []row, mode int, ids []string, offset int) (out []*kill) {
	for i, r := range rows {
		out = append(out, &kill{row: r, mode: modes[mode], node: ids[(i+2*mode+offset)%len(ids)]})
	}
	return out
}

// alternate gives each row one node and one mode, which take turns.
func alternate(rows []row, ids []string) (out []*kill) {
	for i, r := range rows {
		out = append(out, &kill{row: r, mode: modes[i%len(modes)], node: ids[i%len(ids)]})
	}
	return out
}

// offsets are the turns of the nodes that this run plays.
func offsets() []int {
	if *everyNode {
		return []int{0, 1, 2, 3, 4}
	}
	return []int{0}
}

func demoIDs() (ids []string) {
	for _, n := range cluster.DemoNodes {
		ids = append(ids, n.ID)
	}
	return ids
}

// A cluster that is killed anywhere goes on. It is counted over both halves, or over
// the one that was asked for. R9, R15, R26
func TestEachStepMayBeTheLast(t *testing.T) {
	t.Parallel() // these tests wait more than they work
	c := cells{died: map[string]int{}}
	t.Run("new", func(t *testing.T) { killNew(t, &c) })
	if *running {
		t.Run("running", func(t *testing.T) { killRunning(t, &c) })
	}
	c.print(t, "a new and a running cluster", kills, demoIDs())
}

// killNew makes a cluster while its nodes die at every step from init to the birth of
// the root key, when custodians open what that sealed, and when others take their
// place: at each step one of them, before it or after it by turns. With every node it is
// both, before on soft tokens and after on SoftHSM's.
func killNew(t *testing.T, c *cells) {
	if !*everyNode {
		newOne(t, c, cluster.HSMToken, 0, func(at stage) []*kill { return alternate(of(at), demoIDs()) })
		return
	}
	for _, offset := range offsets() {
		for mode, hsm := range []string{cluster.HSMSoft, cluster.HSMToken} {
			newOne(t, c, hsm, offset, func(at stage) []*kill { return assign(of(at), mode, demoIDs(), offset) })
		}
	}
}

func newOne(t *testing.T, c *cells, hsm string, offset int, kills func(stage) []*kill) {
	first := kills(atFirst)
	r := newTrial(t, cluster.Config{HSM: hsm, Sealed: true, Attended: true}, nil, first...)
	r.keys = append(r.keys, r.born(r.order(r.c.IDs()[offset], 30)))
	r.open()
	opened, replaced := kills(whenSealed), kills(whenReplaced)
	r.unseals(opened...)
	r.replaces(replaced...)
	c.add(slices.Concat(first, opened, replaced))
	r.judge()
}

// killRunning kills the nodes of one cluster at every step of births, unwraps,
// checkpoints, starts, revokes, snapshots and stops, and each time it goes on.
func killRunning(t *testing.T, c *cells) {
	var r *trial
	r = newTrial(t, cluster.Config{HSM: cluster.HSMSoft}, func(p *kill) {
		if p.hit != 2 || p.step != "ceremony/post" || len(r.queue[p.node]) < 2 || r.queue[p.node][1].step != "ceremony/abandon" {
			return
		}
		files, _ := filepath.Glob(filepath.Join(r.c.Dir(p.node), "ceremony", "*"))
		for _, f := range files { // what was sealed is lost
			_ = os.Remove(f)
		}
	})
	r.keys = append(r.keys, r.born(r.order(r.c.IDs()[0], 30)))
	ids := r.c.IDs()
	for _, offset := range offsets() {
		both := func(rows []row) []*kill {
			return slices.Concat(assign(rows, 0, ids, offset), assign(rows, 1, ids, offset))
		}
		began := time.Now()
		lap := func(what string) {
			t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
			began = time.Now()
		}
		for _, group := range births(both(of(inBirth))) {
			r.birth(group...)
			c.add(group)
			lap("a birth")
		}
		unwraps := both(of(inUnwrap))
		r.unwraps(unwraps...)
		lap("unwraps")
		granted := both(of(whenGranted))
		r.granted(granted...)
		lap("grants")
		asked := both(of(whenAsked))
		r.checkpoints(asked...)
		lap("checkpoints")
		late := both(of(whenLate))
		r.late(late...)
		lap("late")
		lost := both(of(whenLost))
		for _, p := range lost {
			r.lost(p)
			lap("lost")
		}
		var starts []*kill
		for i, rows := 0, of(atStart); i < len(modes); i++ {
			for _, row := range rows {
				starts = append(starts, &kill{row: row, mode: modes[i], node: ids[(2*i+offset)%len(ids)]})
			}
		}
		r.starts(starts...)
		lap("starts")
		denied := both(of(whenDenied))
		r.denials(denied...)
		lap("denials")
		sparse := both(of(whenSparse))
		r.sparse(sparse...)
		lap("sparse denials")
		elsewhere := both(of(whenElsewhere))
		r.elsewhere(elsewhere...)
		lap("claims of addresses")
		stops := both(of(atStop))
		r.stops(stops...)
		lap("stops")
		for _, kills := range [][]*kill{unwraps, granted, asked, late, lost, starts, denied, sparse, elsewhere, stops} {
			c.add(kills)
		}
	}
	r.judge()
}

// births groups kills so that in one birth a node dies once, or twice if the second
// death needs no count from the birth's beginning; and so that only one node has to
// be the first holder.
func births(kills []*kill) (groups [][]*kill) {
	fits := func(group []*kill, p *kill) bool {
		own := 0
		for _, q := range group {
			if q.node == p.node {
				own++
			}
			if q.first && p.first && q.node != p.node {
				return false
			}
		}
		return own == 0 || own == 1 && p.hit == 1 && !p.first
	}
next:
	for _, p := range kills {
		for i := range groups {
			if fits(groups[i], p) {
				groups[i] = append(groups[i], p)
				continue next
			}
		}
		groups = append(groups, []*kill{p})
	}
	return groups
}

// faulty is where the daemon with the failpoints was built, once.
var faulty = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(bin, "faulty")
	return dir, errors.Join(os.Mkdir(dir, 0o700), cluster.BuildBinaries(dir, "failpoint"))
})

func faultyBin(t *testing.T) string {
	t.Helper()
	dir, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
