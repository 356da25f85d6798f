package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

// hsmSoft is the kind of a device that protects nothing. The node's own warning
// says so once more, loudly.
const hsmSoft = "soft"

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what each node says of itself",
		Long: `Shows what each node says of itself: its state, who it takes for the leader, how
far it has applied the ledger, how long what it knows stays fresh, its audit, and
what seals its secrets. The state of a node that does not answer, or refuses to,
is the code of its reason. Below stands how many more failures the keys survive.

It fails only if no node answers, and prints the table even then.`,
		Example: "  warifu status\n  warifu status -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			type line struct {
				Node   string              `json:"node"`
				Region string              `json:"region"`
				Status *api.StatusAnswer   `json:"status"`
				Reason []client.NodeReason `json:"reason,omitempty"`
				Left   bool                `json:"left,omitempty"` // it is on the roster no more
			}
			var lines []line
			refused := &client.NodesError{Doing: "ask the nodes for their status", Nodes: len(cluster.Known().Genesis.Roster)}
			statuses := cluster.Status(c.Context())
			gone := hasLeft(cluster.Known(), statuses)
			for _, s := range statuses {
				l := line{Node: s.Node, Status: s.Answer}
				if n := cluster.Known().Genesis.NodeByID(s.Node); n != nil {
					l.Region = n.Region
				}
				var nodes *client.NodesError
				if l.Left = s.Node == gone; !l.Left && errors.As(s.Err, &nodes) {
					l.Reason = nodes.Reasons
				}
				refused.Reasons = append(refused.Reasons, l.Reason...)
				lines = append(lines, l)
			}
			silent := !slices.ContainsFunc(lines, func(l line) bool { return l.Status != nil })
			var keys []survival
			if !silent {
				if list, err := cluster.Keys(c.Context()); err == nil {
					keys = survivals(list, statuses)
				}
			}
			view := struct {
				Nodes []line     `json:"nodes"`
				Keys  []survival `json:"keys,omitempty"` // the least first
			}{lines, keys}
			shown := a.show(view, func(w io.Writer) {
				var rows [][]string
				var notes []string
				doors := map[string]bool{}
				for _, l := range lines {
					if l.Status == nil {
						state := "-"
						for _, r := range l.Reason {
							state = string(r.Code)
						}
						if l.Left {
							state = left
						}
						rows = append(rows, []string{l.Node, l.Region, state, "-", "-", "-", "-", "-"})
						continue
					}
					s, device := l.Status, l.Status.HSM
					if device == hsmSoft {
						device = "SOFT: protects nothing"
					}
					for _, n := range s.Warnings {
						if strings.HasPrefix(n, api.ExtraDoor) { // all nodes say the same of the ledger
							doors[n] = true
							continue
						}
						notes = append(notes, a.loud(l.Node+": "+oneLine(n)))
					}
					rows = append(rows, []string{
						l.Node, l.Region, s.State, orWord(s.Leader, "-"), fmt.Sprint(s.Index), freshness(s.FreshFor),
						fmt.Sprintf("%s, %d records", s.Audit, s.AuditRecords), device,
					})
				}
				for _, door := range sortedKeys(doors) {
					notes = append(notes, a.loud(oneLine(door)))
				}
				for _, l := range formerLocks(statuses) {
					notes = append(notes, a.loud(formerLockWords(l)))
				}
				if !silent { // else the line on stderr has the reasons
					for _, folded := range client.FoldReasons(refused.Reasons, refused.Nodes) {
						notes = append(notes, oneLine(folded))
					}
				}
				table(w, "NODE REGION STATE LEADER INDEX FRESH AUDIT HSM", rows)
				if len(keys) > 0 {
					fmt.Fprintf(w, "\n%s\n", keys[0].words(a))
				}
				if more := len(keys) - 1; more > 0 {
					fmt.Fprintf(w, "%s no less (warifu node list)\n", surviving(more))
				}
				if line := poolsLine(statuses); line != "" {
					fmt.Fprintf(w, "\n%s\n", line)
				}
				if len(notes) > 0 {
					fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n"))
				}
			})
			if shown != nil || !silent {
				return shown
			}
			return fail(codeOfStatus(refused.Reasons), "%w", refused)
		},
	}
	a.addCallerFlags(c)
	return c
}

// codeOfStatus is the exit code when no node answers: a refusal by all, if they
// all refuse for the same reason.
func codeOfStatus(reasons []client.NodeReason) exitCode {
	for _, code := range []api.Code{api.CodeDenied, api.CodeUnauthenticated} {
		if !slices.ContainsFunc(reasons, func(r client.NodeReason) bool { return r.Code != code }) {
			return refusalCodes[code]
		}
	}
	return exitQuorum
}

// freshness says how long what a node knows may still be used.
func freshness(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if ms < 0 {
		return "stale for " + (-d).Round(100*time.Millisecond).String()
	}
	return "for " + d.Round(100*time.Millisecond).String()
}
