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
	kind           string // of the key that is born: typeAsymmetric or typeSymmetric; empty: the former
	symmetric      string // name of another key, which is symmetric; empty: none
	bin            string
	pids           []string
	cores          int // that all run on; 0: all there are
	keys           int // how many are born, which take turns; 0: one
	layout         layoutFlags

	prepared func(*cluster.Config) // changes the configuration of what is started; may be nil
	started  *cluster.Cluster      // by find
}

// Types of keys, as `warifu key create` has them.
const (
	typeAsymmetric = "asymmetric"
	typeSymmetric  = "symmetric"
)

func (f *subjectFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.start, "start", false, "start five nodes, three of which open an envelope, or as many as --nodes and --threshold say, and remove them afterwards")
	f.layout.add(flags)
	flags.StringVar(&f.hsm, "hsm", cluster.HSMToken, "with --start: pkcs11, a SoftHSM token each, or soft, which protects nothing")
	flags.StringVar(&f.bin, "bin", "", "with --start: directory with warifud (default: where this program is)")
	flags.StringVar(&f.home, "home", os.Getenv("WARIFU_HOME"), "directory that warifu client init made ($WARIFU_HOME)")
	flags.StringVar(&f.key, "key", "demo", "name of the key")
	flags.StringArrayVar(&f.pids, "pid", nil, "NAME=PID of a node on this machine; may be repeated (default: the demo's)")
}

// checkKind looks at the type of key that was asked for.
func (f *subjectFlags) checkKind() error {
	switch f.kind {
	case "":
		return nil
	case typeAsymmetric, typeSymmetric:
		if f.start {
			return nil
		}
		return errors.New("--type needs --start: a key that is there already has its type")
	}
	return fmt.Errorf("--type is %s or %s, not %q", typeAsymmetric, typeSymmetric, f.kind)
}

// checkLayout looks at what cluster is to be started.
func (f *subjectFlags) checkLayout() error { return f.layout.check(f.start) }

// maxKeys bounds how many keys are born: each takes a third of a second.
const maxKeys = 1000

// checkKeys looks at how many keys are to be born.
func (f *subjectFlags) checkKeys() error {
	switch {
	case f.keys < 1 || f.keys > maxKeys:
		return fmt.Errorf("--keys: 1 to %d", maxKeys)
	case f.keys > 1 && !f.start:
		return errors.New("--keys needs --start: of a cluster that runs the one named by --key is used")
	}
	return nil
}

// maxHomeClients is how many connections of one identity a node takes.
const maxHomeClients = 32

// addCores is for verbs that measure on all cores, or on fewer.
func (f *subjectFlags) addCores(flags *pflag.FlagSet) {
	flags.IntVar(&f.cores, "cores", 0, "how many cores the nodes and this process run on together (default: all)")
}

func (f *subjectFlags) checkCores() error {
	if f.cores < 0 {
		return errors.New("--cores: a machine has one core at least")
	}
	return nil
}

// prepare finds the cluster, or starts one, makes as many clients, and keeps all to the
// cores that they are to run on. clean undoes it.
func (f *subjectFlags) prepare(ctx context.Context, clients int) (*bench.Subject, func() error, error) {
	s, clean, err := f.find(ctx, clients)
	if err != nil || f.cores == 0 {
		return s, clean, err
	}
	undo, err := s.Keep(ctx, f.cores)
	if err != nil {
		return nil, nil, errors.Join(err, clean())
	}
	return s, func() error { return errors.Join(undo(), clean()) }, nil
}

// find finds the cluster, or starts one, and makes as many clients. clean undoes it.
func (f *subjectFlags) find(ctx context.Context, clients int) (s *bench.Subject, clean func() error, err error) {
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
	if s.Key, err = s.Clients[0].Record(ctx, f.key); err == nil && f.symmetric != "" {
		s.Symmetric, err = s.Clients[0].Record(ctx, f.symmetric)
	}
	if err != nil {
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

// startWithin bounds the birth of a cluster on a busy machine, and bornWithin that of each
// key besides.
const (
	startWithin = 2 * time.Minute
	bornWithin  = 5 * time.Second
)

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
	within, cancel := context.WithTimeout(ctx, startWithin+time.Duration(f.keys)*bornWithin)
	defer cancel()
	conf := cluster.Config{Dir: dir, Bin: bin, HSM: f.hsm, Numbers: true, Log: slog.New(s.Noticed)}
	f.layout.apply(&conf)
	if f.prepared != nil {
		f.prepared(&conf)
	}
	c, err := cluster.Start(within, conf)
	f.started = c
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	clean = closing(s, func() error { return errors.Join(c.Close(), remove()) })
	if err := f.furnish(within, c, s, clients); err != nil {
		return nil, errors.Join(err, clean())
	}
	s.Dir, s.PIDs, s.Numbers = dir, map[string]int{}, map[string]string{}
	for _, id := range c.IDs() {
		s.PIDs[id], s.Numbers[id] = c.PID(id), c.Numbers(id)
	}
	return clean, nil
}

// furnish gives the cluster a key, or two, and s clients that may unwrap with them, each
// with an identity of its own.
func (f *subjectFlags) furnish(ctx context.Context, c *cluster.Cluster, s *bench.Subject, clients int) (err error) {
	if err := c.Permit(ctx); err != nil {
		return err
	}
	create := c.CreateKey
	if f.kind == typeSymmetric {
		create = c.CreateSymmetricKey
	}
	if s.Key, err = create(ctx, f.key); err != nil {
		return err
	}
	for i := 1; i < f.keys; i++ {
		another, err := create(ctx, fmt.Sprintf("%s-%d", f.key, i+1))
		if err != nil {
			return err
		}
		s.More = append(s.More, another)
	}
	if f.symmetric != "" {
		if s.Symmetric, err = c.CreateSymmetricKey(ctx, f.symmetric); err != nil {
			return err
		}
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
