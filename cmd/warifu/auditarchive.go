package main

import (
	"fmt"
	"io"

	"warifu.dev/audit"

	"github.com/spf13/cobra"
)

func (a *app) auditArchiveCommand() *cobra.Command {
	var to string
	var whose auditOwner
	c := &cobra.Command{
		Use:   "archive DIR --to DIR (--node ID | --key FINGERPRINT)",
		Short: "Move the closed segments of a stopped node's audit elsewhere",
		Long: `Verifies a node's audit directory, moves its closed segments to another directory,
and leaves a stub for each. The records' hashes stay with the node: its log goes
on as before, and warifu audit verify finds every alteration, in what is left and,
with --archive, in what was moved. The node must be stopped meanwhile; a restarted
one needs no archive.

A segment is closed when a later one was begun, and the node has signed for all its
records. It is copied, read back and compared before anything is removed; after a
crash the same command goes on.`,
		Example: "  warifu audit archive /var/lib/warifu/audit --to /mnt/archive/tokyo --node tokyo",
		Args:    exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, n, pub, err := whose.find(a)
			if err != nil {
				return err
			}
			moved, err := audit.Archive(args[0], to, pub)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			v := archiveView{Node: n.ID, First: moved.First, Last: moved.End - 1, Segments: moved.Segments, Bytes: moved.Bytes, To: to}
			return a.show(v, func(w io.Writer) {
				facts(w, "node", v.Node, "archived", fmt.Sprintf("records %d to %d, in %d segments of %d bytes", v.First, v.Last, v.Segments, v.Bytes), "to", v.To)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&to, "to", "", "directory for the segments; made if missing, for this log alone")
	whose.flags(f)
	required(c, "to")
	return c
}

// archiveView says what was moved.
type archiveView struct {
	Node     string `json:"node"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Segments int    `json:"segments"`
	Bytes    int64  `json:"bytes"`
	To       string `json:"to"`
}
