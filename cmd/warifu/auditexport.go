package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"warifu.dev/audit"
	"warifu.dev/auditor"
	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

func (a *app) auditExportCommand() *cobra.Command {
	var out, since string
	var archives []string
	c := &cobra.Command{
		Use:   "export --out DIR [--since TIME] [--archive NODE=DIR ...]",
		Short: "Take the audits of all nodes into a folder, to be asked offline",
		Long: `Takes the audits of all nodes on the roster into one folder: records with their hashes, signed
checkpoints, anchors, the genesis document, every change that custodians signed, and
the records of the keys. What it takes verifies under each node's checkpoint, or
is not taken. It is for auditors.

Broken off, the same command goes on; run again later, it takes what has come since,
and notices when a node's log is no longer the one it was. With --since only
records from then on are taken, and of those before it the changes that custodians
signed. A node that cannot be asked is named, and the export is incomplete: exit
code 11. One that has left the roster can be asked no more: what an export took of it
before stays, and is verified; if nothing did, it is named. So export before a node
leaves.

Of records that warifu audit archive moved away from a node the hashes are taken, and
the records when --archive says where they are now, as verified as all others.

Ask the folder with warifu audit verify, query, releases and who-could.`,
		Example: "  warifu audit export --out march --since 2026-03-01\n  warifu audit export --out all\n  warifu audit export --out all --archive tokyo=/mnt/archive/tokyo",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			order := auditor.Request{Dir: out, Now: now().UnixMilli()}
			var err error
			if order.Since, err = parseMoment("--since", since); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			order.Genesis, order.Source = cluster.Genesis(), cluster
			if order.Chain, err = cluster.Custody(c.Context()); err != nil { // and so learns of nodes that came since
				return err
			}
			order.Left = hasLeft(order.Chain, cluster.Status(c.Context()))
			if order.Archives, err = openArchives(archives, order.Chain.Genesis); err != nil {
				return err
			}
			if order.Anchors, err = cluster.Anchors(c.Context()); err != nil {
				return err
			}
			if order.Keys, err = a.signedKeys(c.Context(), cluster); err != nil {
				return err
			}
			m, err := auditor.Take(c.Context(), order)
			if err != nil {
				return fmt.Errorf("%s: %w", out, err)
			}
			if err := a.show(viewManifest(m), func(w io.Writer) {
				var rows [][]string
				for _, n := range m.Nodes {
					state := orWord(n.State, "complete")
					if n.Left && n.State == "" {
						state = "complete when it was last there; it has left"
					}
					rows = append(rows, []string{n.Node, fmt.Sprint(n.Size), fmt.Sprint(n.From), state})
				}
				table(w, "NODE RECORDS FROM STATE", rows)
			}); err != nil {
				return err
			}
			if lacking := m.Incomplete(); len(lacking) > 0 {
				var names []string
				for _, n := range lacking {
					names = append(names, n.Node)
				}
				return fail(exitCheck, "the export is incomplete, without all of: %s; run it again to go on", strings.Join(names, ", "))
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder for the export; made if missing, gone on with if it is one")
	c.Flags().StringVar(&since, "since", "", "only records from then on: 2026-03-01, 2026-03-01T09:00:00+09:00, or 24h ago as 24h")
	c.Flags().StringArrayVar(&archives, "archive", nil, "NODE=DIR: where that node's archived segments are")
	a.addCallerFlags(c)
	required(c, "out")
	return c
}

// openArchives reads NODE=DIR, each of another node.
func openArchives(list []string, g *authority.Genesis) (auditor.Archives, error) {
	out := auditor.Archives{}
	for _, one := range list {
		node, dir, ok := strings.Cut(one, "=")
		if !ok || dir == "" || out[node] != nil {
			return nil, fail(exitUsage, "--archive is like tokyo=/mnt/archive/tokyo, once for each node, not %q", one)
		}
		if _, err := rosterNode(g, node, ""); err != nil {
			return nil, err
		}
		segments, err := audit.OpenSegments(dir)
		if err != nil {
			return nil, err
		}
		out[node] = segments
	}
	return out, nil
}

// signedKeys fetches the record of every key that was born.
func (a *app) signedKeys(ctx context.Context, cluster *client.Client) ([]*authority.SignedRecord, error) {
	keys, err := cluster.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var out []*authority.SignedRecord
	for _, k := range keys {
		if k.Epoch == 0 {
			continue // ordered, and not born yet
		}
		record, err := cluster.RecordByID(ctx, k.ID)
		if err != nil {
			fmt.Fprintf(a.errs, "warifu: the record of the key %s is left out: %s\n", oneLine(k.Name), sentence(err))
			continue
		}
		s, err := authority.ParseSignedRecord(record.Encode())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

type manifestView struct {
	Complete bool               `json:"complete"`
	Since    string             `json:"since,omitempty"`
	Nodes    []manifestNodeView `json:"nodes"`
}

type manifestNodeView struct {
	Node    string `json:"node"`
	Records uint64 `json:"records"`
	From    uint64 `json:"from"`
	Lacks   string `json:"lacks,omitempty"` // why it is not whole
	Left    bool   `json:"left,omitempty"`  // it is on the roster no more
}

func viewManifest(m *auditor.Manifest) manifestView {
	v := manifestView{Complete: len(m.Incomplete()) == 0, Nodes: []manifestNodeView{}}
	if m.Since != 0 {
		v.Since = instant(m.Since)
	}
	for _, n := range m.Nodes {
		v.Nodes = append(v.Nodes, manifestNodeView{Node: n.Node, Records: n.Size, From: n.From, Lacks: n.State, Left: n.Left})
	}
	return v
}

// parseMoment reads a time: a date, here; a time with its zone; or how long ago it
// is. Nothing is 0.
func parseMoment(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UnixMilli(), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t.UnixMilli(), nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now().Add(-ago).UnixMilli(), nil
	}
	return 0, fail(exitUsage, "%s is like 2026-03-01, 2026-03-01T09:00:00+09:00 or 24h, not %q", flag, s)
}
