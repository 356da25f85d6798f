package cluster_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/warifutest"
)

const (
	// rotateSeconds is the policy's period, after which shares turn over by themselves.
	rotateSeconds = authority.MinRotate
	// turnPatience is how long new shares may take while nodes die: a run and its five
	// phases, and anchors every ten seconds.
	turnPatience = 4 * time.Minute
	// stragglers is how long a node may take to come to a step once all else is done.
	stragglers = 20 * time.Second
	// tries is how many clusters a life may take: a run goes on without a node that is just
	// away, and then that node does not come to what was left of it.
	tries = 3
	// beyond is more than a period, and than an overlap, and not more than three times
	// that are within the life of a change.
	beyond = rotateSeconds*time.Second + 5*time.Minute
)

// turning is a cluster whose shares turn over, and one of whose keys ends.
type turning struct {
	*trial
	asks   *client.Client
	offset int
	cells  *cells
	missed []string      // kills whose run was over before their node came to the step
	clock  time.Duration // ahead of this process's
	lap    func(what string)
}

// lives are the clusters that it takes to kill every node at every step of [turns],
// before and after it: in each, every step is come to once.
func lives() []int {
	if !*everyNode {
		return []int{*life}
	}
	all := make([]int, len(modes)*len(cluster.DemoNodes))
	for i := range all {
		all[i] = i
	}
	return all
}

// taken gives each step of a stage to one node, and says how it fails. What only the
// first holder comes to is the first node's, whose place another has in the next life;
// of a reshare, the last node leaves, and has fewer steps.
func (l *turning) taken(at stage) (out []*kill) {
	ids := l.c.IDs()
	for i, r := range of(at) {
		node := ids[i%len(ids)]
		switch {
		case r.first:
			node = ids[0]
		case at == whenMissed:
			node = l.misses()
		case r.step == "ceremony/destroy-key" && at == inReshare:
			node = l.leaves()
		case node == l.leaves() && at == inReshare:
			node = ids[3]
		}
		out = append(out, &kill{row: r, mode: modes[(i+l.offset/len(ids))%len(modes)], node: node})
	}
	number(out)
	return out
}

// number says of each kill how many hits of its step come before the death that its
// node has died before. All are of one stage, and stand as a node comes to them.
func number(all []*kill) {
	for i, q := range all {
		for j, p := range all[:i] {
			if p.node != q.node {
				continue
			}
			q.after = 0
			for before, r := range all[:j+1] {
				if r.step == q.step && (before < j || p.mode == "persisted") {
					q.after++
				}
			}
		}
	}
}

// misses is the node that misses a refresh, and leaves the one that a reshare lets go.
func (l *turning) misses() string { return l.c.IDs()[3] }
func (l *turning) leaves() string { return l.c.IDs()[4] }

// until waits for what takes its time.
func (l *turning) until(what string, is func() bool) {
	l.Helper()
	for end := time.Now().Add(turnPatience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if is() {
			return
		}
	}
	keys, err := l.asks.Keys(l.Context())
	renewals, _ := l.asks.Renewals(l.Context())
	l.Fatalf("never: %s; %d kills wait; %+v, %+v, %v", what, l.waiting(), keys, renewals, err)
}

// done waits until something is true, and every kill has taken place or is missed, and
// every node serves.
func (l *turning) done(what string, kills []*kill, is func() bool) {
	l.Helper()
	l.until(what, is)
	for end := time.Now().Add(stragglers); l.waiting() > 0 && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	for _, p := range l.left() {
		l.missed = append(l.missed, fmt.Sprintf("%s: %s %s, %s", what, p.node, p.step, p.mode))
	}
	l.fired(what)
	l.serving()
	l.cells.add(kills)
	l.lap(what)
}

// order has custodians order new shares.
func (l *turning) orders(kind string, body authority.Renewal) (id api.Digest) {
	l.Helper()
	id, err := l.c.Submit(within(l.T, patience), kind, wire.Encode(body), api.Digest{})
	if err != nil {
		l.Fatal(err)
	}
	return id
}

// escrows has custodians order that the shares of a key are sealed to them.
func (l *turning) escrows(key *client.Key) {
	l.Helper()
	now, err := l.asks.Record(l.Context(), key.Name())
	if err == nil {
		_, err = l.c.Submit(within(l.T, patience), authority.KindEscrow, wire.Encode(authority.Escrow{Record: now.Encode(), Open: 2}), api.Digest{})
	}
	if err != nil {
		l.Fatal(err)
	}
}

// renewed says whether an order is done; none means that all there are, and so many, are.
func (l *turning) renewed(order api.Digest, count int) func() bool {
	return func() bool {
		list, err := l.asks.Renewals(l.Context())
		open := slices.ContainsFunc(list, func(s api.RenewalSummary) bool {
			return s.Ended == 0 && (order.IsZero() || s.Order == order)
		})
		return err == nil && len(list) >= count && !open
	}
}

func (l *turning) summary(key *client.Key) (s api.KeySummary) {
	keys, err := l.asks.Keys(l.Context())
	if at := slices.IndexFunc(keys, func(k api.KeySummary) bool { return k.ID == key.ID() }); err == nil && at >= 0 {
		return keys[at]
	}
	return s
}

// over says whether a key has so many epochs, and every holder of the others has signed
// that it has erased its shares.
func (l *turning) over(key *client.Key, live int) func() bool {
	return func() bool {
		s := l.summary(key)
		return s.Epoch > 0 && len(s.Live) == live && len(s.Gone) > 0 &&
			!slices.ContainsFunc(s.Gone, func(g api.GoneEpoch) bool { return len(g.Await) > 0 })
	}
}

// passes puts the clocks of all nodes ahead.
func (l *turning) passes(by time.Duration) {
	l.Helper()
	l.clock += by
	for _, id := range l.c.IDs() {
		path := l.file(id) + ".ahead"
		if err := errors.Join(os.WriteFile(path+".next", []byte(l.clock.String()), 0o600), os.Rename(path+".next", path)); err != nil {
			l.Fatal(err)
		}
	}
}

// envelope wraps a data key, with no context.
func (l *turning) envelope(key *client.Key, dek []byte) []byte {
	l.Helper()
	e, err := key.Wrap(rand.Reader, nil, secret.Clone(dek))
	if err != nil {
		l.Fatal(err)
	}
	return e
}

// destroyed waits until a key is gone at every holder. Who was killed while it erased,
// and owes its receipt, releases nothing of another key.
func (l *turning) destroyed(key *client.Key, other []byte, kills []*kill) {
	l.Helper()
	cert, err := l.c.NewIdentity(cluster.AppURI)
	if err != nil {
		l.Fatal(err)
	}
	direct := warifutest.NewDirect(l.c.Genesis(), cert, nil)
	defer direct.Close()
	begun := func() (out []string) { // those that have died since the key is destroyed
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range kills {
			if p.done && p.step != "ceremony/destroy" {
				out = append(out, p.node)
			}
		}
		return out
	}
	ctx := l.Context()
	owes := func(id string) bool { // as it sees it itself
		b, err := direct.Call(ctx, id, api.MethodKeyList, wire.Encode(api.KeyListRequest{}))
		var a api.KeyListAnswer
		if err != nil || wire.Decode(b, &a) != nil {
			return false
		}
		at := slices.IndexFunc(a.Keys, func(k api.KeySummary) bool { return k.ID == key.ID() })
		return at >= 0 && slices.ContainsFunc(a.Keys[at].Gone, func(g api.GoneEpoch) bool { return slices.Contains(g.Await, id) })
	}
	l.done("a key is destroyed", kills, func() bool {
		for _, id := range begun() {
			if _, err := direct.Unwrap(ctx, id, other, "the test asks"); err == nil && owes(id) {
				l.Errorf("%s was killed while it erased, and releases before it has said that it has", id)
			}
		}
		return l.over(key, 0)()
	})
}

// rest is what a stopped node has in its keyring: the root key's epoch, and the epochs of
// every other key. It is not known of a token that is not soft.
func (l *turning) rest(id string) (root uint64, shares map[api.KeyID][]uint64, known bool) {
	l.Helper()
	if _, err := os.Stat(filepath.Join(l.c.Dir(id), "soft-hsm")); errors.Is(err, fs.ErrNotExist) {
		return 0, nil, false
	}
	shares = map[api.KeyID][]uint64{}
	err := l.token(id, func(d *soft.Device) error {
		ring, err := keyring.Open(keyring.Config{
			Dir: filepath.Join(l.c.Dir(id), "seal"), Cluster: l.c.Genesis().Cluster, Node: id, Device: d, Rand: rand.Reader,
		})
		if err != nil {
			return err
		}
		root = ring.Root().Epoch
		ring.Holds(func(h keyring.Held) bool { shares[h.Key] = append(shares[h.Key], h.Epoch); return false })
		ring.Wipe()
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	return root, shares, true
}

// Shares turn over, and a key is destroyed, while each step of that is some node's last:
// what was begun is completed, or abandoned and begun again, every key opens under one
// epoch, with the public key and the envelopes that it had, and of the epochs before, and
// of the key that is destroyed, no node has a share. With every node it is ten clusters.
// R9, R10
func TestANodeMayDieWhenSharesTurnOver(t *testing.T) {
	t.Parallel()
	c := cells{died: map[string]int{}}
	for _, offset := range lives() {
		lived(t, offset, func() []string { return turnOver(t, &c, offset) })
	}
	if c.print(t, "shares that turn over and a key that ends", turns, demoIDs()) < len(turns) {
		t.Error("nobody died at a step of the table")
	}
}

// lived plays a life until every kill of it has taken place in one cluster or another.
func lived(t *testing.T, offset int, life func() (missed []string)) {
	t.Helper()
	for try := 1; ; try++ {
		missed := life()
		switch {
		case len(missed) == 0:
			return
		case try == tries:
			t.Fatalf("life %d: never came to: %s", offset, strings.Join(missed, "; "))
		}
		t.Logf("life %d is played again, for: %s", offset, strings.Join(missed, "; "))
	}
}

// newTurning starts such a cluster. Each life begins with another node.
func newTurning(t *testing.T, c *cells, offset int) *turning {
	n := offset % len(cluster.DemoNodes)
	hsm := []string{cluster.HSMSoft, cluster.HSMToken}[offset/len(cluster.DemoNodes)]
	nodes := slices.Concat(cluster.DemoNodes[n:], cluster.DemoNodes[:n])
	began := time.Now()
	l := &turning{offset: offset, cells: c, lap: func(what string) {
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}}
	l.trial = newTrial(t, cluster.Config{HSM: hsm, Nodes: nodes}, nil)
	var err error
	if l.asks, err = l.c.Custodian(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.asks.Close() })
	l.lap("a cluster")
	return l
}

func turnOver(t *testing.T, c *cells, offset int) []string {
	l := newTurning(t, c, offset)
	ids := l.c.IDs()
	var names []string
	for range 4 {
		names = append(names, l.order(ids[0], 30))
	}
	var keys []*client.Key
	var envelopes [][]byte
	dek := []byte("a data key of before, 32 bytes..")
	for _, name := range names {
		keys = append(keys, l.born(name))
		envelopes = append(envelopes, l.envelope(keys[len(keys)-1], dek))
	}
	ends, turns, moves, missed := keys[0], keys[1], keys[2], keys[3]
	l.lap("four keys")

	reshare := l.taken(inReshare)
	l.plan(reshare...)
	of := l.orders(authority.KindReshare, authority.Renewal{Keys: []api.KeyID{moves.ID()}, PhaseSeconds: 30, T: 3, F: 1, Holders: ids[:4]})
	l.done("a reshare", reshare, l.renewed(of, 1))

	// A node misses a refresh. What makes it good waits for the end of the overlap.
	if err := l.c.Stop(l.misses()); err != nil {
		t.Fatal(err)
	}
	of = l.orders(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{missed.ID()}, PhaseSeconds: 2})
	l.until("a refresh without one", l.renewed(of, 2))
	repair := l.taken(whenMissed)
	l.plan(repair...)
	if err := l.c.Restart(l.misses()); err != nil {
		t.Fatal(err)
	}
	l.done("a repair is asked for", repair, func() bool { list, err := l.asks.Renewals(l.Context()); return err == nil && len(list) == 3 })
	l.until("struck is who was away", func() bool { return slices.Equal(l.summary(missed).Struck, []string{l.misses()}) })

	rerooted := l.taken(whenRerooted)
	l.plan(rerooted...)
	of = l.orders(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{ends.ID()}, PhaseSeconds: 30, Root: true})
	l.done("the root key turns over", rerooted, l.renewed(of, 4))

	// An hour passes: a rotation is due, and the repair goes on.
	due := slices.Concat(l.taken(whenDue), l.taken(inRefresh))
	l.plan(due...)
	l.passes(beyond)
	l.done("all keys turn over", due, l.renewed(api.Digest{}, 5))

	rotated := l.taken(whenRotated)
	l.plan(rotated...)
	l.passes(2 * time.Minute)
	l.done("old shares go", rotated, func() bool {
		return !slices.ContainsFunc(keys, func(k *client.Key) bool { return !l.over(k, 1)() })
	})
	l.until("nobody is struck after the repair", func() bool { s := l.summary(missed); return s.Epoch > 0 && len(s.Struck) == 0 })

	escrowed := l.taken(whenEscrowed)
	l.plan(escrowed...)
	l.escrows(turns)
	l.done("shares are sealed to custodians", escrowed, func() bool {
		list, err := l.asks.Escrows(l.Context(), turns.Name())
		return err == nil && len(list.Escrows) == 1 && len(list.Escrows[0].Sealed) == len(ids)
	})

	killed := l.taken(whenDestroyed)
	l.plan(killed...)
	if _, err := l.c.Submit(within(t, patience), authority.KindKeyDestroy, wire.Encode(authority.KeyDestroy{Key: ends.ID()}), api.Digest{}); err != nil {
		t.Fatal(err)
	}
	l.destroyed(ends, envelopes[1], killed)

	later := app(t, l.c)
	for i, k := range keys {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		got, err := later.Unwrap(ctx, envelopes[i], nil, "the test asks")
		cancel()
		switch {
		case k == ends && err == nil:
			t.Error("a destroyed key opens what it wrapped")
		case k == ends:
		case err != nil:
			t.Errorf("%s opens nothing that it wrapped before: %v", k.Name(), err)
		case string(got.Reveal()) != string(dek):
			t.Error("a data key came back different")
		}
		if now, err := later.Record(t.Context(), k.Name()); k != ends && (err != nil || now.Epoch() == 1 || string(now.Record().Y) != string(k.Record().Y)) {
			t.Errorf("%s is another key now: %v", k.Name(), err)
		}
	}
	epochs := map[api.KeyID]uint64{}
	for _, k := range keys[1:] {
		epochs[k.ID()] = l.summary(k).Epoch
	}
	l.keys = []*client.Key{turns, missed} // those that any three open
	l.judge()
	l.lap("the judge")
	for _, id := range ids {
		root, shares, known := l.rest(id)
		if !known {
			continue
		}
		if root != 2 {
			t.Errorf("%s has the root key's epoch %d", id, root)
		}
		for _, k := range keys {
			want := []uint64{epochs[k.ID()]}
			if k == ends || k == moves && id == l.leaves() {
				want = nil
			}
			if !slices.Equal(shares[k.ID()], want) {
				t.Errorf("%s has shares of the epochs %v of %s, not of %v", id, shares[k.ID()], k.Name(), want)
			}
		}
	}
	return l.missed
}
