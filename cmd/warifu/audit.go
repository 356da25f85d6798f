package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

// maxTail bounds what is asked for at once; the node has a bound of its own.
const maxTail = 1000

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read and verify what nodes recorded",
		"Each node records every decision before it acts on it. The request id of one\nunwrap stands in the audit of every node that took part.",
		"  warifu audit tail tokyo -n 20\n  warifu audit export --out march --since 2026-03-01\n  warifu audit query march --principal spiffe://demo/app",
		a.auditTailCommand(), a.auditAnchorsCommand(), a.auditVerifyCommand(), a.auditArchiveCommand(),
		a.auditExportCommand(), a.auditQueryCommand(), a.auditReleasesCommand(), a.auditWhoCouldCommand())
}

// recordView is an audit record in words. Fields that do not apply are left out.
type recordView struct {
	Index       uint64   `json:"index"`
	Time        string   `json:"time"`
	Kind        string   `json:"kind"`
	Node        string   `json:"node,omitempty"`
	RequestID   string   `json:"request_id,omitempty"`
	Principal   string   `json:"principal,omitempty"`
	Source      string   `json:"source,omitempty"`
	Region      string   `json:"caller_region,omitempty"`
	Session     string   `json:"session,omitempty"`
	Action      string   `json:"action,omitempty"`
	Key         string   `json:"key,omitempty"`
	KeyName     string   `json:"key_name,omitempty"`
	Version     uint32   `json:"version,omitempty"`
	Epoch       uint64   `json:"epoch,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Context     string   `json:"context_digest,omitempty"`
	Envelope    string   `json:"envelope_hash,omitempty"`
	Code        string   `json:"code,omitempty"`
	Rules       []string `json:"rules,omitempty"`
	Policy      string   `json:"policy_digest,omitempty"`
	LedgerFrom  uint64   `json:"ledger_from,omitempty"`
	LedgerIndex uint64   `json:"ledger_index,omitempty"`
	EntryID     string   `json:"entry_id,omitempty"`
	EntryBytes  int      `json:"entry_bytes,omitempty"`
	Count       uint64   `json:"count,omitempty"`
	Grant       string   `json:"grant,omitempty"`
	Slot        uint32   `json:"slot,omitempty"`
	Branch      string   `json:"branch,omitempty"` // of a branch key: its interval
	Writer      string   `json:"branch_writer,omitempty"`
}

func viewRecord(index uint64, r audit.Record) recordView {
	return recordView{
		Grant: hexOrNothing(r.Grant[:]), Slot: r.Slot, Branch: branchWords(r.BranchFrom, r.Branch), Writer: r.Writer,
		Index: index, Time: instant(r.Time), Kind: string(r.Kind), Node: r.Node,
		RequestID: hexOrNothing(r.RequestID[:]), Principal: r.Principal, Source: r.Source, Region: r.Region, Session: r.Session,
		Action: r.Action, Key: hexOrNothing(r.Key[:]), KeyName: r.KeyName, Version: r.Version, Epoch: r.Epoch,
		Reason: r.Reason, Context: hexOrNothing(r.Context[:]), Envelope: hexOrNothing(r.Envelope[:]),
		Code: r.Code, Rules: r.Rules, Policy: hexOrNothing(r.PolicyDigest[:]), LedgerFrom: r.LedgerFrom, LedgerIndex: r.LedgerIndex,
		EntryID: hexOrNothing(r.EntryID[:]), EntryBytes: len(r.Entry), Count: r.Count,
	}
}

// hexOrNothing is empty for zero bytes, which stand for "does not apply".
func hexOrNothing(b []byte) string {
	for _, x := range b {
		if x != 0 {
			return hex.EncodeToString(b)
		}
	}
	return ""
}

func (a *app) auditTailCommand() *cobra.Command {
	var n int
	var keep string
	c := &cobra.Command{
		Use:   "tail NODE",
		Short: "Show the last records of one node's audit",
		Long: "Shows the last records of one node's audit, oldest first. -o json shows every field.\n" +
			"--checkpoint keeps what the node signs about all its records so far, for a later\nwarifu audit verify.",
		Example: "  warifu audit tail tokyo -n 20\n  warifu audit tail tokyo --checkpoint tokyo.checkpoint",
		Args:    exactly("NODE"),
		RunE: func(c *cobra.Command, args []string) error {
			if n < 1 || n > maxTail {
				return fail(exitUsage, "-n is 1 to %d", maxTail)
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			answer, err := cluster.AuditTail(c.Context(), args[0], n)
			if errors.Is(err, client.ErrUnknownNode) {
				return fmt.Errorf("%w; the nodes are %s", err, strings.Join(rosterIDs(&cluster.Genesis().Genesis), ", "))
			}
			if err != nil {
				return err
			}
			if keep != "" {
				if err := keepCheckpoint(keep, &cluster.Genesis().Genesis, args[0], answer.Checkpoint); err != nil {
					return err
				}
			}
			records := []recordView{}
			for i, b := range answer.Records {
				r, err := audit.DecodeRecord(b)
				if err != nil {
					return fmt.Errorf("record %d of %s: %w", answer.First+uint64(i), args[0], err)
				}
				records = append(records, viewRecord(answer.First+uint64(i), r))
			}
			return a.show(records, func(w io.Writer) {
				var rows [][]string
				for _, r := range records {
					rows = append(rows, []string{
						fmt.Sprint(r.Index), r.Time, r.Kind, orWord(r.Principal, "-"), inBranch(orWord(r.KeyName, "-"), r.Branch),
						orWord(r.Code, "-"), orWord(r.RequestID, "-"), r.Reason,
					})
				}
				table(w, "INDEX TIME KIND PRINCIPAL KEY CODE REQUEST REASON", rows)
			})
		},
	}
	c.Flags().IntVarP(&n, "number", "n", 20, "how many records")
	c.Flags().StringVar(&keep, "checkpoint", "", "new file to keep the node's signed checkpoint in")
	a.addCallerFlags(c)
	return c
}

// keepCheckpoint writes a checkpoint that this node signed to a new file.
func keepCheckpoint(file string, g *authority.Genesis, node string, signed []byte) error {
	n := g.NodeByID(node)
	pub, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return fmt.Errorf("the key of %s: %w", node, err)
	}
	p, err := audit.ParseCheckpoint(signed, pub)
	if err == nil && p.Origin != auditOrigin(g, n) {
		err = fmt.Errorf("%w: of %q", audit.ErrBadCheckpoint, p.Origin)
	}
	if err != nil {
		return fmt.Errorf("the checkpoint of %s: %w", node, err)
	}
	return writeNew(file, modePublic, signed)
}
