package cluster_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"warifu.dev/bench/cluster"
	"warifu.dev/internal/dealt"
)

// R42: five daemons bear a key, and after a while none of them has what was dealt in
// any of its files: neither in the log, down to its segments, nor in a snapshot. The
// key is there, also for those who start again.
func TestWhatDaemonsDealtLeavesTheirDisks(t *testing.T) {
	c, key, cl := start(t, cluster.Config{})
	envelopes, deks := unwrapSome(t, key, cl, 1)
	if err := c.OrderKey(within(t, patience), "another", 60); err != nil {
		t.Fatal(err)
	}
	marks := map[string][]byte{}
	eventually(t, "every log holds what five have dealt", func() bool {
		whole := true
		for _, id := range c.IDs() {
			here := dealt.In(c.Dir(id))
			for _, body := range here {
				marks[string(body)] = dealt.Mark(body)
			}
			whole = whole && len(here) >= 5
		}
		return whole
	})
	holders := func() (files []string) {
		for _, id := range c.IDs() {
			_ = filepath.WalkDir(c.NodeDir(id), func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return nil // it may just have been deleted
				}
				b, _ := os.ReadFile(path)
				for _, m := range marks {
					if bytes.Contains(b, m) {
						files = append(files, path)
						break
					}
				}
				return nil
			})
		}
		return files
	}
	if len(holders()) < len(c.IDs()) {
		t.Fatal("what was dealt is found in fewer files than there are nodes: this shows nothing")
	}
	eventually(t, "no file holds what was dealt", func() bool { return len(holders()) == 0 })
	asks, err := c.Custodian()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	if _, err := asks.WaitKey(within(t, patience), "another"); err != nil {
		t.Fatal(err)
	}
	id := c.IDs()[0]
	if err := c.Stop(id); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(id); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitServing(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	got, err := cl.Unwrap(within(t, patience), envelopes[0], trialContext, "the test asks")
	if err != nil || !bytes.Equal(got.Reveal(), deks[0]) {
		t.Fatalf("opened: %v", err)
	}
}
