package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"warifu.dev/backup"
	"warifu.dev/hsm"
	"warifu.dev/node"
)

// errUseless means that shares open, and none of those whose record was given fits it.
var errUseless = errors.New("a share in this backup is of another epoch than the record, and of no use with it")

func tryCommand() *cobra.Command {
	var format, pin string
	var records []string
	cmd := &cobra.Command{
		Use:   "try BACKUP DIR",
		Short: "Try whether this machine's token still opens a backup of its node",
		Long: `Tries what the node's token still opens of BACKUP, a file of warifu backup make, and says
which shares are in it. DIR is where the PIN file is, as node.toml in the backup names
it: the node's directory, or an empty one with the PIN; --pin-file names another. The
PIN is tried once. Nothing is changed or destroyed, and no node runs from a backup.

--record is a key's record, as warifu key show --out writes it: the share must be the
one that it names. A share of an earlier epoch is worth nothing, as what was erased; a
node that has sealed itself anew since has destroyed what opens the backup.`,
		Example: `  warifud try /mnt/backup/tokyo-1.tar /var/lib/warifu --record photos.record`,
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("%w: --output is table or json, not %q", errUsage, format)
			}
			if _, err := harden(); err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close() // only read
			_, files, err := backup.Read(bufio.NewReaderSize(f, 1<<20))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			var signed [][]byte
			for _, name := range records {
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				signed = append(signed, b)
			}
			scratch, err := os.MkdirTemp("", "warifud-try-")
			if err != nil {
				return err
			}
			defer os.Remove(scratch)
			t, err := node.Try(files, scratch, signed, func(c node.HSMConfig) (hsm.Device, error) {
				if pin != "" {
					c.PINFile = pin
				}
				return openDevice(args[1], c, newLog(io.Discard))
			})
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := printTried(cmd.OutOrStdout(), format, t); err != nil {
				return err
			}
			for _, s := range t.Shares {
				if s.Record > 0 && !s.Fits {
					return fmt.Errorf("%s: %w: key %s, epoch %d, the record is of epoch %d", args[0], errUseless, s.Key, s.Epoch, s.Record)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&pin, "pin-file", "", "file with the token's PIN, in place of the one that node.toml in the backup names")
	cmd.Flags().StringArrayVar(&records, "record", nil, "signed record of a key, to hold its share against; may be repeated")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func printTried(w io.Writer, format string, t *node.Tried) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	fmt.Fprintf(w, "the token %s opens the backup of %s, of the cluster %s\n", t.Token, t.Node, t.Cluster)
	switch {
	case t.Generation == 0:
		fmt.Fprintln(w, "it has no shares: the node was not born then")
		return nil
	case t.Locked:
		ask := "a restore can ask them"
		if !t.LockKept {
			ask = "a restore CANNOT ask them, for an older program wrote this seal: make a backup when the node has sealed itself anew"
		}
		fmt.Fprintf(w, "generation %d is not destroyed; custodians have to open what is in it, which is not tried; %s\n", t.Generation, ask)
		return nil
	}
	fmt.Fprintf(w, "generation %d opens: the root share, and shares of %d named keys\n", t.Generation, len(t.Shares))
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range t.Shares {
		says := "no record of it was given"
		switch {
		case s.Fits:
			says = fmt.Sprintf("fits the record of %s", s.Name)
		case s.Record > 0:
			says = fmt.Sprintf("WRONG: the record of %s is of epoch %d", s.Name, s.Record)
		}
		fmt.Fprintf(out, "key %s\tversion %d\tepoch %d\t%s\n", s.Key, s.Version, s.Epoch, says)
	}
	return out.Flush()
}
