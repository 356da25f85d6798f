// Command warifu-bench measures what a cluster costs: one that runs, or one that
// it starts for the purpose.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "warifu-bench",
		Short:         "warifu-bench measures what a warifu cluster costs",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(decryptCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "warifu-bench:", err)
		os.Exit(1)
	}
}

// decryptFlags are the flags of the verb decrypt.
type decryptFlags struct {
	start          bool
	home, key, hsm string
	bin, output    string
	unwraps        int
	inFlight       int
	pids           []string
}

func decryptCommand() *cobra.Command {
	var f decryptFlags
	c := &cobra.Command{
		Use:   "decrypt",
		Short: "Measure unwraps: latency, throughput, CPU of every process and of every step",
		Long: `Unwraps data keys one at a time and then many in flight, with a cluster that runs
or, with --start, with five nodes started for the purpose on this machine and
removed afterwards. Then measures each step of one unwrap in this process.

Every unwrap leaves a record in the audit of the nodes that were asked.`,
		Example: `  warifu-bench decrypt --start
  . .demo/env.sh && warifu-bench decrypt --key demo
  warifu-bench decrypt --home ~/app --key payroll --pid node-1=4711 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.BoolVar(&f.start, "start", false, "start five nodes, three of which open an envelope, and remove them afterwards")
	flags.StringVar(&f.hsm, "hsm", cluster.HSMToken, "with --start: pkcs11, a SoftHSM token each, or soft, which protects nothing")
	flags.StringVar(&f.bin, "bin", "", "with --start: directory with warifud (default: where this program is)")
	flags.StringVar(&f.home, "home", os.Getenv("WARIFU_HOME"), "directory that warifu client init made ($WARIFU_HOME)")
	flags.StringVar(&f.key, "key", "demo", "name of the key")
	flags.IntVarP(&f.unwraps, "unwraps", "n", 1000, "how many unwraps, one at a time and again in flight")
	flags.IntVarP(&f.inFlight, "in-flight", "c", 64, "how many are in flight in the second part")
	flags.StringArrayVar(&f.pids, "pid", nil, "NAME=PID of a node on this machine; may be repeated (default: the demo's)")
	flags.StringVarP(&f.output, "output", "o", "table", "table or json")
	return c
}

func (f *decryptFlags) run(c *cobra.Command) error {
	if f.output != "table" && f.output != "json" {
		return fmt.Errorf("--output is table or json, not %q", f.output)
	}
	conf := bench.Config{N: f.unwraps, InFlight: f.inFlight}
	if err := conf.Check(); err != nil {
		return err
	}
	clean, err := f.prepare(c.Context(), &conf)
	if err != nil {
		return err
	}
	report, err := bench.Decrypt(c.Context(), conf)
	if err := errors.Join(err, clean()); err != nil {
		return err
	}
	if f.output == "json" {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.Write(c.OutOrStdout())
}

// prepare finds the cluster, or starts one. clean undoes what it did.
func (f *decryptFlags) prepare(ctx context.Context, conf *bench.Config) (clean func() error, err error) {
	if f.start {
		return f.startCluster(ctx, conf)
	}
	if f.home == "" {
		return nil, errors.New("which cluster? Give --start, --home DIR or set WARIFU_HOME")
	}
	if conf.PIDs, err = parsePIDs(f.pids); err != nil {
		return nil, err
	}
	if len(conf.PIDs) == 0 {
		if conf.PIDs, err = bench.NodePIDs(f.home); err != nil {
			return nil, err
		}
	}
	if conf.Client, err = bench.Home(f.home); err != nil {
		return nil, err
	}
	if conf.Key, err = conf.Client.Record(ctx, f.key); err != nil {
		conf.Client.Close()
		return nil, err
	}
	return func() error { conf.Client.Close(); return nil }, nil
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

func (f *decryptFlags) startCluster(ctx context.Context, conf *bench.Config) (clean func() error, err error) {
	bin := f.bin
	if bin == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		bin = filepath.Dir(self)
	}
	dir, err := os.MkdirTemp("", "warifu-bench-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	within, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	c, err := cluster.Start(within, cluster.Config{Dir: dir, Bin: bin, HSM: f.hsm})
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	clean = func() error { return errors.Join(c.Close(), remove()) }
	if err := furnish(within, c, f.key, conf); err != nil {
		return nil, errors.Join(err, clean())
	}
	conf.Dir, conf.PIDs = dir, map[string]int{}
	for _, id := range c.IDs() {
		conf.PIDs[id] = c.PID(id)
	}
	closeCluster := clean
	return func() error { conf.Client.Close(); return closeCluster() }, nil
}

// furnish gives the cluster a key, and conf a client that may unwrap with it.
func furnish(ctx context.Context, c *cluster.Cluster, name string, conf *bench.Config) error {
	key, err := c.Furnish(ctx, name)
	if err != nil {
		return err
	}
	cert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		return err
	}
	conf.Key = key
	conf.Client, err = c.Client(cert)
	return err
}
