package cluster_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// refusedWithin is how long a refusal that names every node's reason may take: the look
// at the key and the question each end by the client's own timeout, on any machine.
const refusedWithin = 3 * client.DefaultTimeout

// One cluster is broken in one way after the other, and mended.
func TestWhatBreaks(t *testing.T) {
	c, key, cl := start(t, cluster.Config{})
	t.Run("a thousand unwraps leave the Raft log alone", func(t *testing.T) { leaveRaftAlone(t, c, key, cl) })
	t.Run("a node that cannot write refuses and says so, the others serve", func(t *testing.T) {
		cannotRecord(t, c, key, "audit broken", limitFiles, func(*testing.T, *cluster.Cluster, string) {})
	})
	if mayMount(t) {
		t.Run("a node whose disk is full refuses and says so, the others serve", func(t *testing.T) {
			cannotRecord(t, c, key, "audit full", fillDisk, emptyDisk)
		})
	} else {
		t.Log("mounts are not permitted here: a disk that takes no more is what RLIMIT_FSIZE makes of it")
	}
	t.Run("the leader is killed while a key is born", func(t *testing.T) {
		killedInBirth(t, c, cl, "born-1", leader(t, c), 0)
	})
	t.Run("a holder is killed while a key is born", func(t *testing.T) {
		killedInBirth(t, c, cl, "born-2", c.IDs()[4], 60*time.Millisecond)
	})
	t.Run("a holder that is frozen is gone round", func(t *testing.T) { frozen(t, c, key) })
	t.Run("two may be dead, three may not, and one who comes back is enough", func(t *testing.T) { killed(t, c, key) })
}

func statusOf(t *testing.T, c *cluster.Cluster, id string) *api.StatusAnswer {
	t.Helper()
	asks, err := c.Custodian()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	for _, s := range asks.Status(t.Context()) {
		if s.Node == id && s.Err == nil {
			return s.Answer
		}
	}
	return nil
}

func leader(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	var id string
	eventually(t, "a leader is known", func() bool {
		s := statusOf(t, c, c.IDs()[0])
		if s == nil {
			return false
		}
		id = s.Leader
		return id != ""
	})
	return id
}

// open wraps a data key and unwraps it, as it is now.
func open(t *testing.T, key *client.Key, cl *client.Client) error {
	t.Helper()
	dek := make([]byte, 32)
	rand.Read(dek)
	e, err := key.Wrap(rand.Reader, trialContext, secret.Clone(dek))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cl.Unwrap(t.Context(), e, trialContext, "the test asks")
	if err == nil && string(got.Reveal()) != string(dek) {
		t.Fatal("a data key came back different")
	}
	return err
}

// settled is a status taken when all that the node has stored is applied.
func settled(t *testing.T, c *cluster.Cluster) *api.StatusAnswer {
	t.Helper()
	var s *api.StatusAnswer
	eventually(t, "a node has applied all it has stored", func() bool {
		s = statusOf(t, c, c.IDs()[0])
		return s != nil && s.Index == s.RaftIndex && s.Leader != ""
	})
	return s
}

// An unwrap touches no part of Raft: the log grows by the anchors that nodes post
// in any case, and by nothing else. A follower is started again meanwhile, which
// makes it post one, so that there is something to count. An election adds an
// entry of its own, and so does an anchor that is handed in twice: on a busy
// machine such a window is measured anew. A thousand entries would spoil each.
func leaveRaftAlone(t *testing.T, c *cluster.Cluster, key *client.Key, cl *client.Client) {
	const unwraps, windows = 1000, 3
	for range windows {
		before, recorded := settled(t, c), recordsOfAll(t, c)
		follower := c.IDs()[4]
		if before.Leader == follower {
			follower = c.IDs()[3]
		}
		if err := c.Stop(follower); err != nil {
			t.Fatal(err)
		}
		if err := c.Restart(follower); err != nil {
			t.Fatal(err)
		}
		openMany(t, key, cl, unwraps)
		var after *api.StatusAnswer
		eventually(t, "the restarted node posts an anchor", func() bool {
			after = settled(t, c)
			return after.Anchors[follower] > before.Anchors[follower]
		})
		if err := c.WaitServing(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if made := recordsOfAll(t, c) - recorded; made < unwraps*uint64(key.Threshold()) {
			t.Fatalf("%d unwraps left %d audit records", unwraps, made)
		}
		grown := after.RaftIndex - before.RaftIndex
		anchors := sum(after.Anchors) - sum(before.Anchors)
		t.Logf("%d unwraps: the log grew by %d entries, %d of them anchors", unwraps, grown, anchors)
		if quiet := uint64(2 * len(c.IDs())); anchors > quiet {
			t.Fatalf("%d anchors were posted: one of each node a minute has nothing to do with unwraps", anchors)
		}
		if grown == anchors && before.Leader == after.Leader {
			return
		}
	}
	t.Error("the log grew by more than anchors in every window")
}

// openMany unwraps one data key in each request, some requests at a time.
func openMany(t *testing.T, key *client.Key, cl *client.Client, n int) {
	t.Helper()
	const inFlight = 16
	e, err := key.Wrap(rand.Reader, trialContext, secret.New(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range inFlight {
		all.Go(func() {
			for range (n + i) / inFlight {
				if _, err := cl.Unwrap(t.Context(), e, trialContext, "the test asks"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// recordsOfAll is how many audit records all nodes have together.
func recordsOfAll(t *testing.T, c *cluster.Cluster) uint64 {
	t.Helper()
	asks, err := c.Custodian()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	var n uint64
	eventually(t, "all nodes say how many records they have", func() bool {
		n = 0
		for _, s := range asks.Status(t.Context()) {
			if s.Err != nil {
				return false
			}
			n += s.Answer.AuditRecords
		}
		return true
	})
	return n
}

func sum(counts map[string]uint64) (n uint64) {
	for v := range maps.Values(counts) {
		n += v
	}
	return n
}

// A node whose disk takes no more refuses by the code `audit`; it does not hang,
// it releases nothing, and its status names it. R26
func cannotRecord(t *testing.T, c *cluster.Cluster, key *client.Key, says string, harm, mend func(*testing.T, *cluster.Cluster, string)) {
	ids := c.IDs()
	victim := ids[0]
	harm(t, c, victim)
	var status *api.StatusAnswer
	eventually(t, "its status says that the audit takes no more", func() bool {
		if err := open(t, key, app(t, c)); err != nil {
			t.Fatalf("four of five can record: %v", err)
		}
		status = statusOf(t, c, victim)
		return status != nil && !strings.HasPrefix(status.Audit, "ok")
	})
	if status.Audit != says {
		t.Errorf("its status says %q, want %q", status.Audit, says)
	}
	for _, id := range ids[3:] {
		if err := c.Stop(id); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "its reason is that it cannot record", func() bool { // on a busy machine it may be late
		began := time.Now()
		err := open(t, key, app(t, c))
		if took := time.Since(began); took > refusedWithin {
			t.Errorf("the refusal took %v", took)
		}
		return reasonsOf(t, err)[victim] == api.CodeAudit
	})
	if err := c.Kill(victim); err != nil {
		t.Fatal(err)
	}
	mend(t, c, victim)
	for _, id := range []string{victim, ids[3], ids[4]} {
		if err := c.Restart(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitServing(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if status := statusOf(t, c, victim); status == nil || !strings.HasPrefix(status.Audit, "ok") {
		t.Errorf("mended, its status is %+v", status)
	}
	if err := open(t, key, app(t, c)); err != nil {
		t.Error(err)
	}
}

// limitFiles lets no file of a running node grow beyond its audit's.
func limitFiles(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	if err := c.LimitFiles(id, largestSegment(t, c, id)); err != nil {
		t.Fatal(err)
	}
}

// largestSegment is the size of the audit file that grows. The log of Raft is
// shorter, and goes on.
func largestSegment(t *testing.T, c *cluster.Cluster, id string) uint64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(filepath.Join(c.Dir(id), "audit"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(e.Name(), "reserve") {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			size = max(size, info.Size())
		}
		return err
	})
	if err != nil || size == 0 {
		t.Fatalf("the audit of %s has %d bytes: %v", id, size, err)
	}
	return uint64(size)
}

// A frozen node keeps its sockets and answers nothing; an unwrap goes round it.
func frozen(t *testing.T, c *cluster.Cluster, key *client.Key) {
	cl := app(t, c)
	for _, id := range c.IDs()[:2] {
		if err := c.Pause(id); err != nil {
			t.Fatal(err)
		}
		if err := open(t, key, cl); err != nil {
			t.Errorf("%s is frozen: %v", id, err)
		}
		if err := c.Resume(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitServing(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}

// killedInBirth kills a node while a key is born and starts it again: the birth
// completes, or is tried again, and the key opens.
func killedInBirth(t *testing.T, c *cluster.Cluster, cl *client.Client, name, victim string, after time.Duration) {
	const phaseSeconds = 3
	ctx := within(t, patience)
	if err := c.OrderKey(ctx, name, phaseSeconds); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := c.Kill(victim); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Restart(victim); err != nil {
		t.Fatal(err)
	}
	key, err := cl.WaitKey(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("born %v after the kill", time.Since(began).Round(time.Millisecond))
	if err := c.WaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key opens", func() bool { return open(t, key, cl) == nil })
}

// Any two of five may be dead. With three dead the refusal names each node's
// reason, and soon; one who comes back makes a quorum again.
func killed(t *testing.T, c *cluster.Cluster, key *client.Key) {
	ids := c.IDs()
	cl := app(t, c)
	for _, id := range ids[:2] {
		if err := c.Kill(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, key, cl); err != nil {
		t.Errorf("two of five are dead: %v", err)
	}
	if err := c.Kill(ids[2]); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := open(t, key, cl)
	took := time.Since(began)
	if took > refusedWithin {
		t.Errorf("the refusal took %v", took)
	}
	got := reasonsOf(t, err)
	for _, id := range ids[:3] {
		if got[id] != api.CodeUnreachable && got[id] != api.CodeTimeout {
			t.Errorf("%s is dead and gives the reason %q", id, got[id])
		}
	}
	t.Logf("refused after %v: %v", took.Round(time.Millisecond), got)
	if err := c.Restart(ids[2]); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for {
		err := open(t, key, cl)
		if err == nil {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("%s is back and nothing opens: %v", ids[2], err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("opens again %v after the restart", time.Since(began).Round(time.Millisecond))
}

func reasonsOf(t *testing.T, err error) map[string]api.Code {
	t.Helper()
	var q *client.QuorumError
	if !errors.As(err, &q) {
		t.Fatalf("got %v, want a refusal for want of a quorum", err)
	}
	out := map[string]api.Code{}
	for _, r := range q.Reasons {
		out[r.Node] = r.Code
	}
	return out
}
