package consensus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"warifu.dev/api"
	"warifu.dev/consensus/internal/mesh"
	"warifu.dev/internal/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chain is a machine that remembers the order of what it was told.
var chain = Machine[string, string]{
	Genesis: "genesis",
	Apply: func(s string, index uint64, entry []byte) (string, string) {
		next := fmt.Sprintf("%s %d:%s", s, index, entry)
		return next, string(entry)
	},
	Link: func(s string) api.Digest { return sha256.Sum256([]byte(s)) },
	Last: func(s string) uint64 {
		var last uint64
		words := strings.Fields(s)
		_, _ = fmt.Sscanf(words[len(words)-1], "%d:", &last) // stays 0 at genesis
		return last
	},
	Encode: func(s string, w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	},
	Decode: func(r io.Reader) (string, error) {
		b, err := io.ReadAll(r)
		if err == nil && !strings.HasPrefix(string(b), "genesis") {
			err = fmt.Errorf("not a chain: %q", b)
		}
		return string(b), err
	},
	// "revoke x" denies, "lift x" lifts it; "forged revoke x" is signed by nobody.
	Denies: func(_ string, entry []byte) (api.Digest, bool) {
		name, is := strings.CutPrefix(string(entry), "revoke ")
		return denyID(name), is
	},
	// "revoke x/1" and "revoke x/2" deny the same; without a stroke a name is its own.
	Denied: func(_ string, entry []byte) string {
		name, _, _ := strings.Cut(string(entry), "/")
		return name
	},
	Standing: func(s string, id api.Digest) Standing {
		name := string(bytes.TrimRight(id[:], "\x00"))
		switch {
		case strings.Contains(s+" ", ":lift "+name+" "):
			return Lifted
		case strings.Contains(s+" ", ":revoke "+name+" "):
			return Taken
		}
		return Absent
	},
}

// denyID is the id of "revoke name".
func denyID(name string) (id api.Digest) {
	copy(id[:], name)
	return id
}

// cluster is a set of real Raft nodes, on disk, over streams in memory.
type cluster struct {
	*testing.T
	mesh   *mesh.Mesh
	voters []string
	dirs   map[string]string
	nodes  map[string]*Consensus[string, string]
	told   map[string]*told
	policy Policy

	machine Machine[string, string]
	disk    map[string]disk.Hook
	logs    logged

	running sync.Map // id to *Consensus: who can be asked to sign
}

// endorsement is how these nodes sign, with a hash that anybody can make; t of
// them, t being a majority.
func (c *cluster) endorsement() Endorsement[string] {
	return Endorsement[string]{
		Threshold: len(c.voters)/2 + 1,
		Gather:    c.gather,
		Verify: func(_ string, s Signature, index uint64, link api.Digest) error {
			if string(s.Bytes) == "left" {
				return ErrUncounted
			}
			if want := signedBy("cluster", s.Node, index, link); !bytes.Equal(s.Bytes, want.Bytes) {
				return errors.New("it is false")
			}
			return nil
		},
	}
}

func signedBy(cluster, node string, index uint64, link api.Digest) Signature {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %s", cluster, node, index, link))
	return Signature{Node: node, Bytes: sum[:]}
}

// gather asks every node that runs, until enough have come that far.
func (c *cluster) gather(ctx context.Context, index uint64, link api.Digest) ([]Signature, error) {
	for {
		var out []Signature
		for _, id := range c.voters {
			if n, ok := c.running.Load(id); ok {
				if at, known := n.(*Consensus[string, string]).At(index); known && at.Link == link {
					out = append(out, signedBy("cluster", id, index, link))
				}
			}
		}
		if len(out) > len(c.voters)/2 || ctx.Err() != nil {
			return out, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// logged is what the nodes have said in their logs.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logged) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// told is what a node's Applied was told of since it started.
type told struct {
	mu   sync.Mutex
	list []string
}

func (t *told) add(index uint64, entry []byte, result string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, fmt.Sprintf("%d:%s=%s", index, entry, result))
}

func (t *told) install(at Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, fmt.Sprintf("installed:%d", at.Index))
}

func (t *told) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.list, " ")
}

func newCluster(t *testing.T, n int) *cluster { return newClusterWith(t, n, Policy{}) }

func newClusterWith(t *testing.T, n int, p Policy) *cluster {
	c := &cluster{T: t, policy: p, machine: chain, disk: map[string]disk.Hook{}, mesh: mesh.New(), dirs: map[string]string{}, nodes: map[string]*Consensus[string, string]{}, told: map[string]*told{}}
	for i := range n {
		id := fmt.Sprintf("n%d", i+1)
		c.voters = append(c.voters, id)
		c.dirs[id] = t.TempDir()
	}
	for _, id := range c.voters {
		c.start(id)
	}
	return c
}

func (c *cluster) config(id string) Config[string, string] {
	c.told[id] = &told{}
	return Config[string, string]{
		Dir: c.dirs[id], Node: id, Voters: c.voters, Streams: c.mesh.Join(id), Machine: c.machine,
		Applied: c.told[id].add, Installed: c.told[id].install, Endorse: c.endorsement(),
		Log: slog.New(slog.NewTextHandler(&c.logs, nil)).With("node", id), Disk: c.disk[id], Policy: c.policy,
	}
}

func (c *cluster) start(id string) {
	c.Helper()
	n, err := Open(c.config(id))
	if err != nil {
		c.Fatal(err)
	}
	c.nodes[id] = n
	c.running.Store(id, n)
}

func (c *cluster) stop(id string) {
	c.Helper()
	c.running.Delete(id)
	if err := c.nodes[id].Close(); err != nil {
		c.Error(err)
	}
	delete(c.nodes, id)
}

func (c *cluster) restartAll() {
	for _, id := range c.voters {
		c.stop(id)
	}
	for _, id := range c.voters {
		c.start(id)
	}
}

func (c *cluster) close() {
	for id := range c.nodes {
		c.stop(id)
	}
	time.Sleep(time.Minute) // what waits for a timer ends
}

// leader waits until all nodes that run, without, agree on one of them.
func (c *cluster) leader(without ...string) string {
	c.Helper()
	for range 600 {
		votes := map[string]int{}
		for id, n := range c.nodes {
			if !strings.Contains(fmt.Sprint(without), id) {
				votes[n.Leader()]++
			}
		}
		for id, v := range votes {
			if id != "" && v == len(c.nodes)-len(without) && c.nodes[id] != nil {
				return id
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Fatal("no leader was elected")
	return ""
}

func (c *cluster) submit(id, entry string) {
	c.Helper()
	if got, err := c.nodes[id].Submit(c.Context(), []byte(entry)); err != nil || got != entry {
		c.Fatalf("submit %s through %s: %q, %v", entry, id, got, err)
	}
}

// agree waits until every node has committed what the first has, and has no
// longer tail.
func (c *cluster) agree(entries ...string) {
	c.Helper()
	time.Sleep(time.Minute)
	var first string
	for id, n := range c.nodes {
		if first == "" {
			first = n.Committed()
		}
		if n.Committed() != first || n.Tail().State != first {
			c.Errorf("%s has committed %q and the tail %q; another has %q", id, n.Committed(), n.Tail().State, first)
		}
	}
	for _, e := range entries {
		if !strings.Contains(first, ":"+e) {
			c.Errorf("%q is not in %q", e, first)
		}
	}
}

func (c *cluster) followers(leader string) []string {
	var out []string
	for _, id := range c.voters {
		if c.nodes[id] != nil && id != leader {
			out = append(out, id)
		}
	}
	return out
}

func TestThreeNodesLoseTheirLeaderAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		first := c.leader()
		changed := c.nodes[first].Changed()
		c.submit(first, "one")
		select {
		case <-changed:
		default:
			t.Error("committed moved and nobody was told")
		}
		for _, id := range c.followers(first) {
			if _, err := c.nodes[id].Submit(t.Context(), []byte("no")); !errors.Is(err, ErrNotLeader) {
				t.Errorf("a follower took a command: %v", err)
			}
			if got := c.nodes[id].Leader(); got != first {
				t.Errorf("%s takes %s for the leader", id, got)
			}
		}
		c.agree("one")
		c.stop(first)
		second := c.leader()
		c.submit(second, "two")
		c.agree("one", "two")
		c.start(first)
		c.agree("one", "two")
		for id, told := range c.told {
			if got := told.String(); !strings.Contains(got, "one=one") || !strings.Contains(got, "two=two") || strings.Contains(got, "no=no") {
				t.Errorf("%s was told %s", id, got)
			}
		}
		if c.nodes[first].AppliedIndex() != c.nodes[second].AppliedIndex() {
			t.Error("the node that came back has not applied all")
		}
	})
}

// Raft forgets what waits for its state machine when it is shut down: a node that
// stops has answered before, and nobody waits for ever. In the bubble, who does ends
// the test.
func TestWhoAskedIsAnsweredWhenTheNodeStops(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 3)
			defer c.close()
			for _, id := range c.voters { // a slow floor, so that commands wait for it
				c.stop(id)
				c.disk[id] = func(op disk.Op, path string) error {
					if op == disk.Sync && filepath.Base(path) == floorName {
						time.Sleep(20 * time.Millisecond)
					}
					return nil
				}
			}
			for _, id := range c.voters {
				c.start(id)
			}
			name := c.leader()
			leader := c.nodes[name]
			var asking sync.WaitGroup
			for i := range 16 {
				asking.Go(func() {
					for range 10 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
						_, err := leader.Submit(ctx, fmt.Appendf(nil, "command %d", i))
						cancel()
						if errors.Is(err, ErrNotLeader) {
							return
						}
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
			c.stop(name)
			asking.Wait()
		})
	}
}

// R30: what was acknowledged is on a majority, and there it is in the tail,
// committed or not. Nobody but the leader has to know that it is committed.
func TestAFollowerRefusesByItsTailBeforeItHasApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.agree()
		c.submit(leader, "deny x")
		// Not a moment later: time has not moved.
		inTail, inCommitted := 0, 0
		for _, n := range c.nodes {
			if strings.Contains(n.Tail().State, "deny x") {
				inTail++
			}
			if strings.Contains(n.Committed(), "deny x") {
				inCommitted++
			}
		}
		if inTail < 2 || inCommitted < 1 || inCommitted > inTail {
			t.Errorf("acknowledged with %d tails and %d committed states", inTail, inCommitted)
		}
		c.agree("deny x")
	})
}

// A leader that is cut off stores what it cannot commit: its tail denies at once,
// and truncation takes that back when the others have gone another way.
func TestTruncationUndoesTheTailOfADeposedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		old := c.leader()
		c.submit(old, "common")
		c.agree("common")
		c.mesh.Cut(old)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.nodes[old].Submit(ctx, []byte("deny lost")); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a leader alone answered %v", err)
		}
		n := c.nodes[old]
		if !strings.Contains(n.Tail().State, "deny lost") || strings.Contains(n.Committed(), "deny lost") {
			t.Errorf("alone: committed %q, tail %q", n.Committed(), n.Tail().State)
		}
		if end := n.Tail().End; n.AppliedIndex() >= end {
			t.Errorf("it has applied %d of %d, one of which nobody has", n.AppliedIndex(), end)
		}
		time.Sleep(30 * time.Second) // it steps down
		c.submit(c.leader(old), "other")
		c.mesh.Mend(old)
		c.agree("common", "other")
		if strings.Contains(n.Tail().State, "deny lost") {
			t.Errorf("truncation left %q", n.Tail().State)
		}
	})
}

// After a restart the tail is that of the whole log at once, and committed
// reaches it again.
func TestARestartedNodeRebuildsItsTailBeforeAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		for i := range 20 {
			c.submit(leader, fmt.Sprintf("e%d", i))
		}
		c.agree("e19")
		want := c.nodes[leader].Tail()
		for _, id := range c.voters {
			c.stop(id)
		}
		alone := c.voters[0]
		c.start(alone)
		n := c.nodes[alone]
		if got := n.Tail(); got != want {
			t.Errorf("the tail of a restarted node is %v, was %v", got, want)
		}
		time.Sleep(time.Minute)
		if n.Committed() != chain.Genesis || n.AppliedIndex() != 0 {
			t.Errorf("alone, it has committed %q", n.Committed())
		}
		if _, err := n.Submit(t.Context(), []byte("no")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("alone, it answered %v", err)
		}
		c.start(c.voters[1])
		c.leader()
		c.agree("e0", "e19")
		if got := n.Committed(); got != want.State {
			t.Errorf("committed came to %q, was %q", got, want.State)
		}
	})
}

func TestEveryNodeBootstrapsTheSameCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.leader()
		for _, id := range c.voters {
			f := c.nodes[id].raft.GetConfiguration()
			if err := f.Error(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(f.Configuration().Servers); got != "[{Voter n1 n1} {Voter n2 n2} {Voter n3 n3}]" {
				t.Errorf("%s has the configuration %s", id, got)
			}
			var first, mine raft.Log
			if err := errors.Join(c.nodes["n1"].log.GetLog(1, &first), c.nodes[id].log.GetLog(1, &mine)); err != nil {
				t.Fatal(err)
			}
			if mine.Type != raft.LogConfiguration || mine.Term != first.Term || !bytes.Equal(mine.Data, first.Data) {
				t.Errorf("%s begins with %v, n1 with %v", id, mine, first)
			}
		}
	})
}

func TestSubmitDoesNotWaitForAContextThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		leader := c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		before := c.nodes[leader].Tail().End
		if _, err := c.nodes[leader].Submit(ctx, []byte("late")); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if c.nodes[leader].Tail().End != before {
			t.Error("it was appended")
		}
	})
}

// Raft adds up to as much again to the interval, at random: that must not overflow
// to "now", or it would look without a pause.
func TestTheUsualPolicy(t *testing.T) {
	switch p := usual; {
	case p.Interval <= 0 || 2*p.Interval < p.Interval:
		t.Error("twice the interval overflows")
	case p.Trailing < p.Threshold:
		t.Error("a node that was away for less than a snapshot's distance would need one")
	case p.Trailing+p.Threshold > remembered:
		t.Error("members forget links that one who reads the log has to have signed")
	}
}

func TestANodeThatDoesNotOpenLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		c.leader()
		cfg := c.config("n1")
		cfg.Node = "" // Raft refuses it, late
		cfg.Dir = t.TempDir()
		if _, err := Open(cfg); err == nil {
			t.Error("a node without a name was opened")
		}
		if _, err := cfg.Streams.Accept(); err == nil {
			t.Error("the streams of a node that did not open still accept")
		}
	})
}
