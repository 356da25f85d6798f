package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"warifu.dev/audit"
	"warifu.dev/auditor"
	"warifu.dev/authority"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) auditVerifyCommand() *cobra.Command {
	var archive string
	var whose auditOwner
	var export exportFlags
	c := &cobra.Command{
		Use:   "verify DIR (--node ID | --key FINGERPRINT | --genesis-hash HASH)",
		Short: "Verify a node's audit directory, or an export of all, offline",
		Long: `Of an export (warifu audit export) it verifies the logs of all nodes, and trusts
nothing but the hash of the genesis document: nodes' keys and custodians come from
there. Damage is named by node and index, a node that is missing by its name (exit
code 11). --against holds it against an older export.

Otherwise DIR is one node's audit directory: --node or --key says whose. Verifies a node's audit directory, or a copy of it, without asking anybody: each
record against its hash, the whole tree against the checkpoints, and these
against the node's public key in the genesis document. Damage is exit code 6, and
the line names the first bad record by its index.

A node's own checkpoint can be put back together with its records. Only what
somebody else kept shows that the tail was cut: a checkpoint (--checkpoint), or the
node's anchors out of the ledger (--anchors, see warifu audit anchors). Without one
the report says that the tail is not checked.

Of records that warifu audit archive moved away the hashes are verified, and the
report says how many; --archive DIR reads the records there, too.`,
		Example: `  warifu audit verify /var/lib/warifu/audit --node tokyo --checkpoint tokyo.checkpoint
  warifu audit verify copy --node tokyo --genesis genesis -o json
  warifu audit verify march --genesis-hash 6b1f... --against february`,
		Args: exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if whose.node == "" && whose.key == "" && (export.hash != "" || auditor.IsExport(args[0])) {
				return a.verifyExport(args[0], &export)
			}
			if export.hash != "" || export.older != "" || len(export.without) > 0 || len(export.checkpoints) > 1 {
				return fail(exitUsage, "--genesis-hash, --against, --without and several --checkpoint go with an export of all nodes, without --node and --key")
			}
			g, n, pub, err := whose.find(a)
			if err != nil {
				return err
			}
			var kept []byte
			for _, checkpoint := range export.checkpoints {
				if kept, err = readSmall(checkpoint); err != nil {
					return err
				}
				if len(kept) == 0 {
					return fail(exitInput, "%s is empty, and no checkpoint", checkpoint)
				}
			}
			given := audit.Given{Checkpoint: kept, Archive: archive}
			if export.anchors != "" {
				if given.Anchors, err = readAnchors(export.anchors, g, n.ID); err != nil {
					return err
				}
			}
			report, err := audit.VerifyDir(args[0], pub, given)
			if err == nil && report.Segments == 0 {
				return fail(exitInput, "%s holds no audit log: there is no records-00000000", args[0])
			}
			if own := auditOrigin(g, n); err == nil && report.Origin != "" && report.Origin != own {
				err = fmt.Errorf("%w: of %q, not of %q", audit.ErrBadCheckpoint, report.Origin, own)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", args[0], err)
			}
			if damage := (*audit.DamagedError)(nil); errors.As(err, &damage) && a.format == formatJSON {
				return errors.Join(a.show(viewDamage(n, damage), nil), err)
			}
			if err != nil {
				return err
			}
			v := viewReport(n, &report)
			return a.show(v, v.words)
		},
	}
	f := c.Flags()
	export.flags(f)
	f.StringVar(&archive, "archive", "", "where this log's archived segments are")
	whose.flags(f)
	return c
}

// auditOwner says whose audit a directory is: by node or by key, in a genesis document
// and the changes of the roster that are known at home.
type auditOwner struct{ genesis, node, key string }

func (o *auditOwner) flags(f *pflag.FlagSet) {
	f.StringVar(&o.genesis, "genesis", "", "genesis document (default: the one pinned by client init)")
	f.StringVar(&o.node, "node", "", "whose audit it is, by node id")
	f.StringVar(&o.key, "key", "", "whose audit it is, by the fingerprint of the node's key")
}

func (o *auditOwner) find(a *app) (*authority.Genesis, *authority.Node, *ecdsa.PublicKey, error) {
	signed, chain, err := a.pinned(o.genesis)
	if err != nil {
		return nil, nil, nil, err
	}
	g := auditor.Everyone(signed, chain)
	n, err := rosterNode(g, o.node, o.key)
	if err != nil {
		return nil, nil, nil, err
	}
	pub, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("the key of %s: %w", n.ID, err)
	}
	return g, n, pub, nil
}

// auditOrigin is the first line of a node's checkpoints.
func auditOrigin(g *authority.Genesis, n *authority.Node) string { return auditor.Origin(g, n.ID) }

// rosterNode finds a node by its id or by its key's fingerprint.
func rosterNode(g *authority.Genesis, id, fingerprint string) (*authority.Node, error) {
	if (id == "") == (fingerprint == "") {
		return nil, fail(exitUsage, "give --node ID or --key FINGERPRINT: whose audit is it? the nodes are %s", strings.Join(rosterIDs(g), ", "))
	}
	for i, n := range g.Roster {
		if id != "" && n.ID == id || fingerprint != "" && strings.EqualFold(authority.FingerprintOf(n.Key).String(), fingerprint) {
			return &g.Roster[i], nil
		}
	}
	return nil, fail(exitUsage, "the roster, as it is known here, names no node %s; the nodes are %s", orWord(id, "with the key "+fingerprint), strings.Join(rosterIDs(g), ", "))
}

// verifyView is what verifying found; damageView takes its place on damage.
type verifyView struct {
	Node        string  `json:"node"`
	Origin      string  `json:"origin,omitempty"`
	Records     uint64  `json:"records"`
	Root        string  `json:"root"`
	First       string  `json:"first,omitempty"`
	Last        string  `json:"last,omitempty"`
	Own         uint64  `json:"own_checkpoint"`
	Kept        *uint64 `json:"checkpoint,omitempty"`
	Tail        string  `json:"tail"`
	Unsigned    uint64  `json:"unsigned"`
	Archived    uint64  `json:"archived"` // the first so many, which were not read
	Torn        int64   `json:"torn_bytes"`
	Tiles       int     `json:"tiles"`
	TilesMissed int     `json:"tiles_missed"`
}

func viewReport(n *authority.Node, r *audit.Report) *verifyView {
	v := &verifyView{
		Node: n.ID, Origin: r.Origin, Records: r.Size, Root: hex.EncodeToString(r.Root[:]), Own: r.Checkpoint,
		Tail: "not checked", Unsigned: r.Size - max(r.Checkpoint, r.Kept), Archived: r.Archived, Torn: r.Torn, Tiles: r.Tiles, TilesMissed: r.TilesMissed,
	}
	if r.TailChecked {
		v.Kept, v.Tail = &r.Kept, "checked"
	}
	if r.Size > r.Archived {
		v.First, v.Last = instant(r.First), instant(r.Last)
	}
	return v
}

func (v *verifyView) words(w io.Writer) {
	records := fmt.Sprintf("%d, each as it was recorded", v.Records)
	if v.Archived > 0 {
		records = fmt.Sprintf("%d, of them %d read, each as it was recorded", v.Records, v.Records-v.Archived)
	}
	pairs := []string{"node", v.Node, "records", records}
	if v.Archived > 0 {
		pairs = append(pairs, "archived", fmt.Sprintf("records 0 to %d: their hashes are right, the records were not read; give --archive DIR", v.Archived-1))
	}
	if v.First != "" {
		pairs = append(pairs, "from", v.First, "to", v.Last)
	}
	pairs = append(pairs, "root", v.Root, "signed", fmt.Sprintf("%d by its own checkpoint", v.Own))
	if v.Kept == nil {
		pairs = append(pairs, "tail", "tail not checked: records may have been cut off together with its own checkpoint; give --checkpoint FILE or --anchors FILE")
	} else {
		pairs = append(pairs, "tail", fmt.Sprintf("checked: none of the first %d is missing", *v.Kept))
	}
	if v.Unsigned > 0 {
		pairs = append(pairs, "unsigned", fmt.Sprintf("the last %d are under no checkpoint yet", v.Unsigned))
	}
	if v.Torn > 0 {
		pairs = append(pairs, "torn", fmt.Sprintf("%d bytes of an unfinished commit at the end, as a crash leaves them", v.Torn))
	}
	if v.TilesMissed > 0 {
		pairs = append(pairs, "tiles", fmt.Sprintf("%d of %d missing or altered; the node makes them again when it starts", v.TilesMissed, v.Tiles+v.TilesMissed))
	}
	facts(w, pairs...)
}

// damageView says where; without an index, some record below the checkpoint
// differs and nothing left says which.
type damageView struct {
	Node    string  `json:"node"`
	Damaged bool    `json:"damaged"`
	Index   *uint64 `json:"index,omitempty"`
	Segment string  `json:"segment,omitempty"`
	Offset  int64   `json:"offset,omitempty"`
	Why     string  `json:"why"`
}

func viewDamage(n *authority.Node, d *audit.DamagedError) damageView {
	v := damageView{Node: n.ID, Damaged: true, Segment: d.Segment, Offset: d.Offset, Why: d.Why}
	if !d.Unplaced {
		v.Index = &d.Index
	}
	return v
}
