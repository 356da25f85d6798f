package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"warifu.dev/backup"
	"warifu.dev/hsm"
	"warifu.dev/node"
)

func restoreCommand() *cobra.Command {
	var format, pin, oldDir, pieces string
	var leave bool
	cmd := &cobra.Command{
		Use:   "restore DIR BACKUP ADOPTION... --old DIR",
		Short: "Move a lost cluster's shares into this node, once and for good",
		Long: `Moves the shares of a node whose cluster is lost, from BACKUP, a file of warifu backup
make, into the node in DIR, which is of another cluster, has its root share, and does not
run. Each ADOPTION is a change of warifu key adopt that custodians have signed; it says
which share goes to which node. The old node's token has to be on this machine beside this
node's, in the same PKCS#11 module or another; --old is where its PIN file is, as node.toml
in the backup names it.

Where custodians open seals, the backup's or this node's, they are asked first: --pieces
is a folder where the file offer is written, for each of them to run warifu restore piece
on, and where their files are waited for, until enough of them are there. They are of use
to this run alone.

Everything is checked before anything is written: whose backup it is, who signed, that each
share is the one that its key's record names. When the shares are sealed here and read
back, the old token's sealing keys are DESTROYED: the backup opens nothing any more, and the
old node starts no more. After a crash, run it again.`,
		Example: `  warifud restore /var/lib/warifu tokyo-1.tar photos.change --old /media/tokyo-1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 3 {
				return fmt.Errorf("%w: %s: %d arguments, not 3 or more", errUsage, cmd.UseLine(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("%w: --output is table or json, not %q", errUsage, format)
			}
			if oldDir == "" {
				return fmt.Errorf("%w: --old DIR is required: where the old token's PIN is", errUsage)
			}
			if _, err := harden(); err != nil {
				return err
			}
			var by node.Handing
			if pieces != "" {
				by = &node.Folder{Context: cmd.Context(), Dir: pieces, Say: cmd.ErrOrStderr()}
			}
			r, err := restore(args[0], args[1], args[2:], leave, by, func(c node.HSMConfig) (hsm.Device, error) {
				if pin != "" {
					c.PINFile = pin
				}
				return openDevice(oldDir, c, newLog(io.Discard))
			})
			if err != nil {
				return err
			}
			return printRestored(cmd.OutOrStdout(), format, r)
		},
	}
	cmd.Flags().StringVar(&oldDir, "old", "", "directory of the old token's PIN file: the old node's, or an empty one with the PIN")
	cmd.Flags().StringVar(&pin, "pin-file", "", "file with the old token's PIN, in place of the one that node.toml in the backup names")
	cmd.Flags().StringVar(&pieces, "pieces", "", "folder where custodians find what there is to open, and where their pieces are left")
	cmd.Flags().BoolVar(&leave, "leave-others", false, "shares of keys that no ADOPTION names are lost for good")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func restore(dir, from string, adoptions []string, leave bool, by node.Handing, open func(node.HSMConfig) (hsm.Device, error)) (_ *node.Restored, err error) {
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	_, files, err := backup.Read(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	var signed [][]byte
	for _, name := range adoptions {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		signed = append(signed, b)
	}
	c, err := node.LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	dev, err := openDevice(dir, c.HSM, newLog(io.Discard))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	scratch, err := os.MkdirTemp("", "warifud-restore-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(scratch)
	return node.Restore(node.RestoreOptions{
		Dir: dir, Device: dev, Files: files, Adoptions: signed, Leave: leave, Custodians: by, Scratch: scratch, Rand: rand.Reader, Open: open,
	})
}

func printRestored(w io.Writer, format string, r *node.Restored) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Fprintf(w, "%s has the shares of %s, of the lost cluster %s:\n", r.Node, r.From, r.Lost)
	for _, s := range r.Shares {
		fmt.Fprintf(w, "  %s, version %d, epoch %d, index %d\n", s.Name, s.Version, s.Epoch, s.Index)
	}
	says := "had been destroyed by an earlier run"
	if len(r.Destroyed) > 0 {
		says = "are destroyed: " + strings.Join(r.Destroyed, ", ")
	}
	_, err := fmt.Fprintf(w, "the sealing keys of the token %s %s; its backups open nothing any more\n", r.Token, says)
	return err
}
