package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

// subjectFlags say which cluster is measured.
type subjectFlags struct {
	start          bool
	home, key, hsm string
	bin            string
	pids           []string
}

func (f *subjectFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.start, "start", false, "start five nodes, three of which open an envelope, and remove them afterwards")
	flags.StringVar(&f.hsm, "hsm", cluster.HSMToken, "with --start: pkcs11, a SoftHSM token each, or soft, which protects nothing")
	flags.StringVar(&f.bin, "bin", "", "with --start: directory with warifud (default: where this program is)")
	flags.StringVar(&f.home, "home", os.Getenv("WARIFU_HOME"), "directory that warifu client init made ($WARIFU_HOME)")
	flags.StringVar(&f.key, "key", "demo", "name of the key")
	flags.StringArrayVar(&f.pids, "pid", nil, "NAME=PID of a node on this machine; may be repeated (default: the demo's)")
}

// maxHomeClients is how many connections of one identity a node takes.
const maxHomeClients = 32

// prepare finds the cluster, or starts one, and makes as many clients. clean undoes it.
func (f *subjectFlags) prepare(ctx context.Context, clients int) (s *bench.Subject, clean func() error, err error) {
	s = &bench.Subject{Noticed: bench.NewNoticed()}
	if f.start {
		clean, err = f.startCluster(ctx, s, clients)
		return s, clean, err
	}
	if f.home == "" {
		return nil, nil, errors.New("which cluster? Give --start, --home DIR or set WARIFU_HOME")
	}
	if clients > maxHomeClients {
		return nil, nil, fmt.Errorf("%d clients of one identity: a node takes %d; --start makes an identity for each", clients, maxHomeClients)
	}
	if s.PIDs, err = parsePIDs(f.pids); err != nil {
		return nil, nil, err
	}
	if len(s.PIDs) == 0 {
		if s.PIDs, err = bench.NodePIDs(f.home); err != nil {
			return nil, nil, err
		}
	}
	clean = closing(s, func() error { return nil })
	for range clients {
		c, err := bench.Home(f.home, slog.New(s.Noticed))
		if err != nil {
			return nil, nil, errors.Join(err, clean())
		}
		s.Clients = append(s.Clients, c)
	}
	if s.Key, err = s.Clients[0].Record(ctx, f.key); err != nil {
		return nil, nil, errors.Join(err, clean())
	}
	return s, clean, nil
}

// closing closes the clients, and then what they call.
func closing(s *bench.Subject, then func() error) func() error {
	return func() error {
		for _, c := range s.Clients {
			c.Close()
		}
		return then()
	}
}

func parsePIDs(list []string) (map[string]int, error) {
	out := map[string]int{}
	for _, s := range list {
		name, number, ok := strings.Cut(s, "=")
		pid, err := strconv.Atoi(number)
		if !ok || name == "" || err != nil || pid < 1 {
			return nil, fmt.Errorf("--pid is NAME=PID, not %q", s)
		}
		out[name] = pid
	}
	return out, nil
}

// startWithin bounds the birth of a cluster on a busy machine.
const startWithin = 2 * time.Minute

// beside is the directory with warifud.
func (f *subjectFlags) beside() (string, error) {
	if f.bin != "" {
		return f.bin, nil
	}
	self, err := os.Executable()
	return filepath.Dir(self), err
}

func (f *subjectFlags) startCluster(ctx context.Context, s *bench.Subject, clients int) (clean func() error, err error) {
	bin, err := f.beside()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "warifu-bench-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	within, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	c, err := cluster.Start(within, cluster.Config{Dir: dir, Bin: bin, HSM: f.hsm, Numbers: true, Log: slog.New(s.Noticed)})
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	clean = closing(s, func() error { return errors.Join(c.Close(), remove()) })
	if err := furnish(within, c, f.key, s, clients); err != nil {
		return nil, errors.Join(err, clean())
	}
	s.Dir, s.PIDs, s.Numbers = dir, map[string]int{}, map[string]string{}
	for _, id := range c.IDs() {
		s.PIDs[id], s.Numbers[id] = c.PID(id), c.Numbers(id)
	}
	return clean, nil
}

// furnish gives the cluster a key, and s clients that may unwrap with it, each with an
// identity of its own.
func furnish(ctx context.Context, c *cluster.Cluster, key string, s *bench.Subject, clients int) error {
	var err error
	if s.Key, err = c.Furnish(ctx, key); err != nil {
		return err
	}
	for range clients {
		cert, err := c.NewIdentity(cluster.AppURI)
		if err != nil {
			return err
		}
		caller, err := c.Client(cert)
		if err != nil {
			return err
		}
		s.Clients = append(s.Clients, caller)
	}
	return nil
}
