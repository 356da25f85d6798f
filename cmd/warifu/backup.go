package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"warifu.dev/api"
	"warifu.dev/backup"

	"github.com/spf13/cobra"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Copy what may be copied of a node, and verify such a copy",
		`A backup has a node's audit, its public state and its secrets as its token sealed
them: it opens nothing without that token. It has none of what the node has promised,
so no node ever runs from it; see docs/operations.md, "Backups".`,
		"  warifu backup make /var/lib/warifu --out tokyo-1.tar\n  warifu backup verify tokyo-1.tar",
		a.backupMakeCommand(), a.backupVerifyCommand())
}

func (a *app) backupMakeCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "make DIR --out FILE",
		Short: "Copy a node's directory, running or not, into one file",
		Long: `Copies the node in DIR into one file, a tar archive with a manifest of SHA-256 sums.
The node may be running. Nobody is asked, and nothing is opened.

In it: genesis, roster line, node.toml, the sealed identity, the sealed shares, the
newest snapshot of the ledger, the audit. Not in it: the PIN, a soft token, and all
that the node has voted for and promised. It names who opened what, and when: keep it
where the audit may be read.`,
		Example: "  warifu backup make /var/lib/warifu --out /mnt/backup/tokyo-1.tar",
		Args:    exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := createFile(out, modeSecret, false)
			if err != nil {
				return err
			}
			defer f.Abandon()
			buffered := bufio.NewWriterSize(f, 1<<20)
			m, err := backup.Write(buffered, args[0], now())
			if err == nil {
				err = buffered.Flush()
			}
			if err != nil {
				return fmt.Errorf("back up %s: %w", args[0], err)
			}
			if err := f.Commit(); err != nil {
				return err
			}
			return a.showBackup(m, false)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write")
	required(c, "out")
	return c
}

func (a *app) backupVerifyCommand() *cobra.Command {
	var hash string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify that a backup is whole",
		Long: `Reads a backup to its end: every file of its manifest is there with its length and
SHA-256, nothing else is, its genesis document is signed, and it is of the node that it
names. What is not so is exit code 6. --genesis-hash says of which cluster it must be.

The sums show damage, not who made the backup. The audit in it shows that: unpack it
with tar, and run warifu audit verify.`,
		Example: "  warifu backup verify tokyo-1.tar --genesis-hash 6b1f...\n  tar -xf tokyo-1.tar audit && warifu audit verify audit --node tokyo-1",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			var want api.Digest
			if hash != "" {
				var err error
				if want, err = parseHash("--genesis-hash", hash); err != nil {
					return err
				}
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close() // only read
			m, err := backup.Verify(bufio.NewReaderSize(f, 1<<20))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if hash != "" && m.Genesis != want.String() {
				return fail(exitInput, "%s: it is of the cluster with the genesis hash %s", args[0], m.Genesis)
			}
			return a.showBackup(m, true)
		},
	}
	c.Flags().StringVar(&hash, "genesis-hash", "", "hash of the genesis document that it must be of: 64 hexadecimal digits, or its 24 words in quotes")
	return c
}

// backupView is a manifest without its list.
type backupView struct {
	Node    string `json:"node"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"`
	Genesis string `json:"genesis"`
	Made    int64  `json:"made_ms"`
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Whole   bool   `json:"whole"` // it was read to its end
}

func (a *app) showBackup(m *backup.Manifest, whole bool) error {
	v := backupView{m.Node, m.Region, m.Cluster, m.Genesis, m.Made, len(m.Files), 0, whole}
	for _, f := range m.Files {
		v.Bytes += f.Size
	}
	return a.show(v, func(w io.Writer) {
		if whole {
			fmt.Fprintln(w, "the backup is whole")
		}
		facts(w,
			"node", v.Node+" in "+v.Region,
			"cluster", v.Cluster,
			"genesis", v.Genesis,
			"made", instant(v.Made),
			"files", fmt.Sprintf("%d, %d bytes", v.Files, v.Bytes),
			"opens", "nothing without the node's token; no node runs from it")
	})
}
