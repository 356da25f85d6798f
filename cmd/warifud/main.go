// Command warifud is the daemon: it reads its configuration, opens its HSM, and
// runs a node until told to stop.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // policies name zones; a node must not depend on the host's copy

	"github.com/spf13/cobra"

	"warifu.dev/hsm"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/spoken"
	"warifu.dev/node"
)

func main() { os.Exit(runMain()) }

// runMain is main, with its exit code.
func runMain() int {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "warifud",
		Short:         "warifud runs one node of a warifu cluster",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: there is no command %q; see warifud --help", errUsage, args[0])
			}
			return cmd.Help()
		},
	}
	root.AddCommand(initCommand(), joinCommand(), runCommand(), checkCommand(), tryCommand(), restoreCommand(), exitCodesTopic())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see %s --help", errUsage, err, cmd.CommandPath())
	})
	err := root.ExecuteContext(ctx)
	if err != nil {
		// One line, whatever was joined into the error.
		fmt.Fprintln(os.Stderr, "warifud:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return exitCode(err)
}

// exactly asks for n arguments.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%w: %s: %d arguments, not %d", errUsage, cmd.UseLine(), n, len(args))
		}
		return nil
	}
}

// between asks for so many arguments.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%w: %s: %d arguments, not %d to %d", errUsage, cmd.UseLine(), len(args), least, most)
		}
		return nil
	}
}

func initCommand() *cobra.Command {
	var c node.Config
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a node: its identity, sealed by its HSM, and its roster line",
		Long: `Make a node in DIR: its configuration, and its identity key, sealed by its HSM.
Prints the node's roster line, which goes into the genesis document.`,
		Example: `  warifud init /var/lib/warifu --node tokyo-1 --region jp-east \
    --client 192.0.2.1:7700 --peer 192.0.2.1:7701 \
    --hsm pkcs11 --module /usr/lib/softhsm/libsofthsm2.so --token tokyo-1 --pin-file pin`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			for _, required := range []string{"node", "region", "client", "peer"} {
				if !cmd.Flags().Changed(required) {
					return fmt.Errorf("%w: --%s is required; see warifud init --help", errUsage, required)
				}
			}
			if err := node.Vacant(dir, c); err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("make the node's directory: %w", err)
			}
			dev, err := openDevice(dir, c.HSM, newLog(os.Stderr))
			if err != nil {
				return err
			}
			line, err := node.Init(rand.Reader, dir, c, dev)
			if err := errors.Join(err, dev.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), node.RosterLine(line))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Node, "node", "", "id of the node on the roster")
	f.StringVar(&c.Region, "region", "", "region of the node")
	f.StringVar(&c.Client, "client", "", "host:port for clients (UDP)")
	f.StringVar(&c.Peer, "peer", "", "host:port for other nodes (UDP)")
	f.StringVar(&c.HSM.Kind, "hsm", hsm.KindPKCS11, "pkcs11, or soft, which protects nothing")
	f.StringVar(&c.HSM.Module, "module", "", "path of the PKCS#11 module")
	f.StringVar(&c.HSM.Token, "token", "", "label of the token")
	f.StringVar(&c.HSM.PINFile, "pin-file", "", "file with the token's PIN: relative to DIR, absolute, or '$CREDENTIALS_DIRECTORY/...' of a systemd unit")
	f.Int64Var(&c.AuditReserve, "audit-reserve", 0, "bytes kept free for the record that says the audit is full (default 64 MiB)")
	return cmd
}

func joinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join DIR GENESIS [CHAIN]",
		Short: "Give a node the signed genesis document of its cluster, once",
		Long: `Gives the node in DIR the genesis document of its cluster, whose roster has it. A node
that custodians have added since is given CHAIN as well: the changes of the roster and
of the custodians that they signed, which warifu node list --chain FILE writes.`,
		Example: `  warifud join /var/lib/warifu cluster.genesis
  warifud join /var/lib/warifu cluster.genesis cluster.chain`,
		Args: between(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("read the genesis document: %w", err)
			}
			var chain []byte
			if len(args) == 3 {
				if chain, err = os.ReadFile(args[2]); err != nil {
					return fmt.Errorf("read the chain of changes: %w", err)
				}
			}
			hash, err := node.Join(args[0], document, chain)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "joined by the genesis document with the hash %s\nto read out: %s\n", hash, strings.Join(spoken.Say(hash), " "))
			return err
		},
	}
}

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "run DIR",
		Short:   "Run the node until told to stop (SIGTERM or SIGINT)",
		Example: `  warifud run /var/lib/warifu`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := newLog(os.Stderr)
			warning, err := harden()
			if err != nil {
				return err
			}
			if warning != "" {
				log.Warn(warning)
			}
			c, err := node.LoadConfig(args[0])
			if err != nil {
				return err
			}
			dev, err := openDevice(args[0], c.HSM, log)
			if err != nil {
				return err
			}
			var room sync.WaitGroup
			defer room.Wait()
			heap, stop := context.WithCancel(cmd.Context())
			defer stop()
			room.Go(func() { makeRoom(heap) })
			err = node.Run(cmd.Context(), node.Options{
				Dir: args[0], Device: dev, Log: log, Now: now, Boot: node.BootTime, MemoryLocked: warning == "",
				Listen: func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) },
			})
			return errors.Join(err, dev.Close())
		},
	}
}

// now is this machine's clock.
func now() time.Time { return time.Now().Add(failpoint.Ahead()) }

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// openDevice opens the token that the configuration names.
func openDevice(dir string, c node.HSMConfig, log *slog.Logger) (hsm.Device, error) {
	switch c.Kind {
	case hsm.KindPKCS11:
		pin, err := readPIN(dir, c.PINFile)
		if err != nil {
			return nil, err
		}
		defer pin.Wipe()
		return pkcs11.Open(pkcs11.Config{Module: c.Module, TokenLabel: c.Token, Serial: c.Serial, PIN: pin})
	case hsm.KindSoft:
		return soft.Open(soft.Config{Dir: filepath.Join(dir, "soft-hsm"), Serial: c.Serial, Log: log})
	}
	return nil, fmt.Errorf("%w: hsm: unknown kind %q", node.ErrConfig, c.Kind)
}

// credentials is where systemd hands a unit what LoadCredential names (systemd.exec(5)).
const credentials = "CREDENTIALS_DIRECTORY"

// pinPath is where the PIN is: relative to the node's directory, absolute, or below
// $CREDENTIALS_DIRECTORY. There the system keeps others out, by an access list that a
// file's mode shows as its group's.
func pinPath(dir, name string) (path string, handed bool, err error) {
	if below, is := strings.CutPrefix(name, "$"+credentials+"/"); is {
		given := os.Getenv(credentials)
		if given == "" {
			return "", false, fmt.Errorf("%w: the PIN is in %s, which only a unit with LoadCredential has", node.ErrConfig, name)
		}
		return filepath.Join(given, below), true, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	return name, false, nil
}

// maxPIN bounds a PIN file, in bytes.
const maxPIN = 256

func readPIN(dir, name string) (secret.Bytes, error) {
	if name == "" {
		return secret.Bytes{}, fmt.Errorf("%w: hsm: pkcs11 needs a pin_file", node.ErrConfig)
	}
	name, handed, err := pinPath(dir, name)
	if err != nil {
		return secret.Bytes{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: read the PIN: %w", node.ErrConfig, err)
	}
	if !handed && info.Mode().Perm()&0o077 != 0 {
		return secret.Bytes{}, fmt.Errorf("%s: %w", name, node.ErrLooseMode)
	}
	if info.Size() > maxPIN {
		return secret.Bytes{}, fmt.Errorf("%w: %s is too long for a PIN", node.ErrConfig, name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("read the PIN: %w", err)
	}
	return secret.New(bytes.TrimRight(b, "\r\n")), nil
}
