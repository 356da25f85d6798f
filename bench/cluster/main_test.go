package cluster_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	_ "warifu.dev/node" // the daemon is built from it: a result of another node is never cached
)

// bin is where the daemon under test was built.
var bin string

func TestMain(m *testing.M) {
	if orders := os.Getenv(floodVariable); orders != "" {
		if err := flood(orders); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "warifu-bin-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = cluster.BuildBinaries(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		bin = dir
		return m.Run()
	}())
}

// patience bounds what a busy machine may need; nothing is measured by it.
const patience = 3 * time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// start makes a cluster with a key and a client that may unwrap with it.
func start(t testing.TB, cfg cluster.Config) (*cluster.Cluster, *client.Key, *client.Client) {
	t.Helper()
	cfg.Dir = t.TempDir()
	if cfg.Bin == "" {
		cfg.Bin = bin
	}
	if cfg.AuditReserve == 0 {
		cfg.AuditReserve = 1 << 20
	}
	ctx := within(t, patience)
	c, err := cluster.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, id := range c.IDs() {
				b, _ := os.ReadFile(c.LogPath(id))
				t.Logf("log of %s:\n%s", id, b[max(0, len(b)-4000):])
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := c.Furnish(ctx, "payroll")
	if err != nil {
		t.Fatal(err)
	}
	return c, key, app(t, c)
}

// app is a client that the policy names.
func app(t testing.TB, c *cluster.Cluster) *client.Client {
	t.Helper()
	cert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Client(cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}
