package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"warifu.dev/audit"
	"warifu.dev/authority"

	"github.com/spf13/cobra"
)

func (a *app) auditAnchorsCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "anchors [--out FILE]",
		Short: "Show, and keep, what each node signed last about its audit",
		Long: `Shows each node's newest anchor in the ledger: how many audit records it had, and
their root, under the node's own signature. Every node is asked, and every signature
is verified; a node can neither show another's anchor altered nor, alone, an older
one.

--out keeps them, one a line, for a later warifu audit verify DIR --anchors FILE,
which then says that none of so many records is missing. Files may be joined: keep
some of before.`,
		Example: "  warifu audit anchors --out anchors\n  warifu audit verify /var/lib/warifu/audit --node tokyo --anchors anchors",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			anchors, err := cluster.Anchors(c.Context())
			if err != nil {
				return err
			}
			if out != "" {
				if len(anchors) == 0 {
					return fail(exitInput, "no node has posted an anchor yet; each does within a minute")
				}
				if err := writeNew(out, modePublic, anchorsFile(anchors)); err != nil {
					return err
				}
			}
			views := []anchorView{}
			for _, v := range anchors {
				views = append(views, viewAnchor(v))
			}
			return a.show(views, func(w io.Writer) {
				var rows [][]string
				for _, v := range views {
					rows = append(rows, []string{v.Node, fmt.Sprint(v.Counter), v.Time, fmt.Sprint(v.Records), v.Root})
				}
				table(w, "NODE ANCHOR TIME RECORDS ROOT", rows)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "new file to keep them in")
	a.addCallerFlags(c)
	return c
}

// anchorView is an anchor in words.
type anchorView struct {
	Node    string `json:"node"`
	Counter uint64 `json:"anchor"`
	Time    string `json:"time"`
	Records uint64 `json:"records"`
	Root    string `json:"root"`
}

func viewAnchor(v *authority.VerifiedAnchor) anchorView {
	a := v.Anchor()
	return anchorView{Node: v.Node(), Counter: a.Counter, Time: instant(a.Time), Records: a.AuditSize, Root: hex.EncodeToString(a.AuditRoot[:])}
}

// anchorsFile is one line of base64 for each entry.
func anchorsFile(anchors []*authority.VerifiedAnchor) []byte {
	var b bytes.Buffer
	for _, v := range anchors {
		b.WriteString(base64.StdEncoding.EncodeToString(v.Entry()))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// readAnchors verifies a file that [anchorsFile] wrote and returns what stands in
// it of one node.
func readAnchors(file string, g *authority.Genesis, node string) ([]audit.Anchor, error) {
	b, err := readSmall(file)
	if err != nil {
		return nil, err
	}
	var list []audit.Anchor
	var others []string
	for i, line := range strings.Fields(string(b)) {
		entry, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return nil, fail(exitInput, "%s: line %d is no anchor: %v", file, i+1, err)
		}
		v, err := authority.VerifyAnchor(g, entry)
		if err != nil {
			return nil, fail(exitInput, "%s: line %d: %w", file, i+1, err)
		}
		if v.Node() != node {
			others = append(others, v.Node())
			continue
		}
		a := v.Anchor()
		list = append(list, audit.Anchor{
			Name: fmt.Sprintf("anchor %d of %s, of %s,", a.Counter, node, instant(a.Time)), Size: a.AuditSize, Root: a.AuditRoot,
		})
	}
	if len(list) == 0 {
		slices.Sort(others)
		return nil, fail(exitInput, "%s holds no anchor of %s; it has those of: %s", file, node, orWord(strings.Join(slices.Compact(others), ", "), "nobody"))
	}
	return list, nil
}
