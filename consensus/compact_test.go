package consensus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// digests is the chain, of which only the hash is kept: what an entry said is not
// in the state.
var digests = Machine[string, string]{
	Genesis: "genesis",
	Apply: func(s string, index uint64, entry []byte) (string, string) {
		return fmt.Sprintf("genesis %d:%x", index, sha256.Sum256(fmt.Appendf(nil, "%s %d %s", s, index, entry))), string(entry)
	},
	Link: chain.Link, Last: chain.Last, Encode: chain.Encode, Decode: chain.Decode,
}

// holds lists the files below a node's directory that have these bytes.
func (c *cluster) holds(id, text string) (files []string) {
	c.Helper()
	err := filepath.WalkDir(c.dirs[id], func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return files
}

// R42: what an entry said is in no file any more when Compact returns, on a node
// that leads and on one that does not, also while others write.
func TestCompactTakesTheBytesToo(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		fill     int // entries after the marker, before
		busy     bool
	}{{"the marker is the last entry", 0, false}, {"the marker's segment is the last one", 5, false}, {"segments follow the marker's", 60, false}, {"entries go on", 5, true}} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const marker = "the-sealed-sub-share-of-a-ceremony"
				p := small
				p.Trailing = 1000
				c := newClusterWith(t, 3, p)
				c.machine = digests
				c.restartAll()
				defer c.close()
				leader := c.leader()
				c.fill(leader, "e", 10)
				c.submit(leader, marker)
				c.fill(leader, "f", tt.fill)
				time.Sleep(10 * time.Second)
				for _, id := range c.voters {
					if err := c.nodes[id].raft.Snapshot().Error(); err != nil { // an ordinary one, which keeps the log
						t.Fatal(err)
					}
					if c.holds(id, marker) == nil {
						t.Fatalf("%s never held it: this shows nothing", id)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				stop := make(chan struct{})
				written := make(chan struct{})
				go func() {
					defer close(written)
					for i := 0; ; i++ {
						_, _ = c.nodes[leader].Submit(ctx, fmt.Appendf(nil, "g%d-%s", i, strings.Repeat("x", 300)))
						pause := 20 * time.Second // as anchors come
						if tt.busy {
							pause = 10 * time.Millisecond
						}
						select {
						case <-stop:
							return
						case <-time.After(pause):
						}
					}
				}()
				for _, id := range c.voters {
					if err := c.nodes[id].Compact(ctx, []byte("barrier")); err != nil {
						t.Errorf("compact %s: %v", id, err)
					}
					if files := c.holds(id, marker); files != nil {
						t.Errorf("%s still has it in %v", id, files)
					}
				}
				close(stop)
				<-written
				if keeps := c.nodes[leader].raft.ReloadableConfig().TrailingLogs; keeps != p.Trailing {
					t.Errorf("from now on %d entries are kept", keeps)
				}
				c.submit(c.leader(), "after")
				time.Sleep(time.Minute)
				for _, id := range c.voters {
					n := c.nodes[id]
					if n.Stopped() != nil || n.Committed() != c.nodes[leader].Committed() {
						t.Errorf("%s has %q, stopped by %v", id, n.Committed(), n.Stopped())
					}
				}
			})
		})
	}
}

// Without a snapshot nothing is let go of, and Compact says so.
func TestCompactNeedsASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, small)
		defer c.close()
		leader := c.leader()
		c.fill(leader, "e", 10)
		for _, id := range c.voters {
			c.running.Delete(id)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.nodes[leader].Compact(ctx, []byte("barrier")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if c.holds(leader, "e0-") == nil {
			t.Error("the log is gone")
		}
	})
}
