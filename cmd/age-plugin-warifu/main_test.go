package main_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/bench/cluster"
)

// patience bounds what a busy machine may need; nothing is measured by it.
const patience = 3 * time.Minute

// bin is where the programs under test were built. It is on PATH, so that age
// finds the plugin.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "warifu-age-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = cluster.BuildBinaries(dir)
		}
		if err == nil {
			var out []byte
			if out, err = exec.Command("go", "build", "-o", dir+"/", ".", "../warifu").CombinedOutput(); err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
		}
		if err == nil {
			err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		bin = dir
		return m.Run()
	}())
}

// place is a cluster with one key, and a home directory on it.
type place struct {
	t         *testing.T
	cluster   *cluster.Cluster
	home      string
	recipient string
	identity  string // the file for age -i
}

const photos = "photos"

// newPlace starts three nodes, of which two open, and sets the home up with the
// commands a user has.
func newPlace(t *testing.T, pairs ...string) *place {
	t.Helper()
	if _, err := exec.LookPath("age"); err != nil {
		t.Fatal("age is missing. Run: apt-get install age (or script/deps --test)")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: filepath.Join(dir, "cluster"), Bin: bin, T: 2, HSM: cluster.HSMSoft, AuditReserve: 1 << 20,
		Nodes: []cluster.Node{{ID: "n1", Region: "a"}, {ID: "n2", Region: "a"}, {ID: "n3", Region: "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Furnish(ctx, photos); err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, cluster: c, home: filepath.Join(dir, "home"), identity: filepath.Join(dir, "identity")}
	cert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "app.crt"), filepath.Join(dir, "app.key")
	p.write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	p.write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	p.must(nil, "warifu", "client", "init", "--genesis", filepath.Join(dir, "cluster", "genesis"),
		"--hash", c.Genesis().Hash().String(), "--cert", certFile, "--key", keyFile)
	args := []string{"warifu", "key", "show", photos, "--recipient"}
	for _, pair := range pairs {
		args = append(args, "--context", pair)
	}
	p.recipient = strings.TrimSpace(string(p.must(nil, args...)))
	p.write(p.identity, p.must(nil, "age-plugin-warifu", "--identity"))
	return p
}

func (p *place) write(name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// command makes a command that is at home here.
func (p *place) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "WARIFU_HOME="+p.home, "NO_COLOR=1")
	return cmd
}

// run runs a command and returns what it printed, and what it said if it failed.
func (p *place) run(stdin io.Reader, args ...string) (out []byte, said string, ok bool) {
	p.t.Helper()
	cmd := p.command(args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		p.t.Fatal(err)
	}
	return out, stderr.String(), err == nil
}

func (p *place) must(stdin io.Reader, args ...string) []byte {
	p.t.Helper()
	out, said, ok := p.run(stdin, args...)
	if !ok {
		p.t.Fatalf("%s: %s", strings.Join(args, " "), said)
	}
	return out
}
