package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/auditor"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exportFlags are those of every verb that asks an export.
type exportFlags struct {
	hash        string
	checkpoints []string
	anchors     string
	older       string
	without     []string
}

func (e *exportFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&e.hash, "genesis-hash", "", "hash of the genesis document, all that is trusted: 64 hexadecimal digits, or its 24 words in quotes (default: of the one pinned by client init)")
	f.StringArrayVar(&e.checkpoints, "checkpoint", nil, "a node's checkpoint that was kept elsewhere; of an export, may be repeated")
	f.StringVar(&e.anchors, "anchors", "", "anchors that were kept elsewhere")
	f.StringVar(&e.older, "against", "", "an older export, kept elsewhere, of which nothing may be missing or altered")
	f.StringArrayVar(&e.without, "without", nil, "a node that is known to be missing from the export, or is to be left out; may be repeated")
}

// open reads an export and what is to be held against it.
func (e *exportFlags) open(a *app, dir string) (*auditor.Folder, auditor.Given, error) {
	given := auditor.Given{Without: e.without}
	hash, err := e.genesis(a)
	if err != nil {
		return nil, given, err
	}
	folder, err := auditor.Open(dir, hash)
	if err != nil {
		return nil, given, fmt.Errorf("%s: %w", dir, err)
	}
	everyone := auditor.Everyone(folder.Genesis, folder.Chain)
	for _, id := range e.without {
		if everyone.NodeByID(id) == nil {
			return nil, given, fail(exitUsage, "--without %s: the nodes are %s", id, strings.Join(rosterIDs(everyone), ", "))
		}
	}
	for _, file := range e.checkpoints {
		b, err := readSmall(file)
		if err != nil {
			return nil, given, err
		}
		given.Checkpoints = append(given.Checkpoints, b)
	}
	if e.anchors != "" {
		b, err := readSmall(e.anchors)
		if err != nil {
			return nil, given, err
		}
		if given.Anchors, err = auditor.ParseLines(b); err != nil {
			return nil, given, fail(exitInput, "%s: %w", e.anchors, err)
		}
	}
	if e.older != "" {
		if given.Older, err = auditor.Open(e.older, hash); err != nil {
			return nil, given, fmt.Errorf("%s: %w", e.older, err)
		}
	}
	return folder, given, nil
}

func (e *exportFlags) genesis(a *app) (api.Digest, error) {
	if e.hash != "" {
		return parseHash("--genesis-hash", e.hash)
	}
	h, err := a.loadHome()
	if errors.Is(err, home.ErrNone) {
		return api.Digest{}, fail(exitUsage, "give --genesis-hash HASH: all that an export is trusted for is under it")
	}
	if err != nil {
		return api.Digest{}, err
	}
	return h.Genesis.Hash(), nil
}

// judged is the error that an export's logs come to: damage first, then what is not
// there.
func judged(dir string, r *auditor.Report) error {
	var parts []string
	for _, n := range r.Damaged() {
		parts = append(parts, fmt.Sprintf("%s: %v", n.Node, n.Damage))
	}
	if len(parts) > 0 {
		return fail(exitInput, "%s: %s", dir, strings.Join(parts, "; "))
	}
	for _, n := range r.Lacking() {
		parts = append(parts, fmt.Sprintf("%s: %s", n.Node, n.Absent))
	}
	if len(parts) > 0 {
		return fail(exitCheck, "%s: the answer is incomplete: %s (--without NODE, if that is known)", dir, strings.Join(parts, "; "))
	}
	return nil
}

// exportView is what verifying an export found.
type exportView struct {
	Genesis api.Digest       `json:"genesis"`
	Since   string           `json:"since,omitempty"`
	Good    bool             `json:"good"` // no damage, and every node is here
	Nodes   []exportNodeView `json:"nodes"`
	Entries int              `json:"ledger_entries"`
	Doubts  []string         `json:"doubts,omitempty"`
	Notes   []string         `json:"notes,omitempty"`
}

type exportNodeView struct {
	Node     string      `json:"node"`
	Records  uint64      `json:"records"`
	Here     uint64      `json:"here"` // of them; of the others the hashes are
	From     uint64      `json:"from"` // all from here on are
	First    string      `json:"first,omitempty"`
	Last     string      `json:"last,omitempty"`
	Anchored uint64      `json:"anchored"`
	Tail     string      `json:"tail"` // checked, not checked
	Kept     uint64      `json:"kept,omitempty"`
	Absent   string      `json:"absent,omitempty"`
	Damage   *damageView `json:"damage,omitempty"`
	Notes    []string    `json:"notes,omitempty"`
}

func viewExport(f *auditor.Folder, r *auditor.Report) *exportView {
	v := &exportView{
		Genesis: f.Genesis.Hash(), Good: len(r.Damaged()) == 0 && len(r.Lacking()) == 0, Nodes: []exportNodeView{},
		Entries: len(r.History.Entries), Doubts: r.History.Doubts, Notes: r.Notes,
	}
	if f.Manifest.Since != 0 {
		v.Since = instant(f.Manifest.Since)
	}
	for _, n := range r.Nodes {
		one := exportNodeView{
			Node: n.Node, Records: n.Size, Here: n.Held, From: n.From, Anchored: n.Anchored, Tail: "not checked",
			Absent: n.Absent, Notes: n.Notes,
		}
		if n.Checked {
			one.Tail, one.Kept = "checked", n.Kept
		}
		if n.Held > 0 {
			one.First, one.Last = instant(n.First), instant(n.Last)
		}
		if n.Damage != nil {
			one.Damage = &damageView{Node: n.Node, Damaged: true, Why: n.Damage.Error()}
			if damage := (*audit.DamagedError)(nil); errors.As(n.Damage, &damage) {
				d := viewDamage(f.Genesis.NodeByID(n.Node), damage)
				one.Damage = &d
			}
		}
		v.Nodes = append(v.Nodes, one)
	}
	return v
}

func (v *exportView) words(w io.Writer) {
	var rows [][]string
	unchecked := 0
	for _, n := range v.Nodes {
		tail := n.Tail
		switch {
		case n.Damage != nil:
			tail = "DAMAGED"
		case n.Absent != "" && n.Records == 0:
			tail = "-"
		case n.Kept > 0:
			tail = fmt.Sprintf("checked to record %d", n.Kept-1)
		case n.Tail == "not checked":
			unchecked++
		}
		rows = append(rows, []string{n.Node, fmt.Sprint(n.Records), fmt.Sprint(n.Here), orWord(n.First, "-"), orWord(n.Last, "-"), tail})
	}
	table(w, "NODE RECORDS HERE FIRST LAST TAIL", rows)
	fmt.Fprintf(w, "ledger entries, signed by custodians or holders: %d\n", v.Entries)
	for _, n := range v.Nodes {
		if n.Absent != "" {
			fmt.Fprintf(w, "%s: %s\n", n.Node, oneLine(n.Absent))
		}
		for _, note := range n.Notes {
			fmt.Fprintf(w, "%s: %s\n", n.Node, oneLine(note))
		}
	}
	for _, doubt := range append(v.Doubts, v.Notes...) {
		fmt.Fprintf(w, "doubt: %s\n", oneLine(doubt))
	}
	if unchecked > 0 {
		fmt.Fprintln(w, "tail not checked: who had this folder may have cut the end of a log, with its checkpoint and anchors; give what was kept elsewhere (--against, --checkpoint, --anchors)")
	}
}

// verifyExport verifies an export.
func (a *app) verifyExport(dir string, e *exportFlags) error {
	folder, given, err := e.open(a, dir)
	if err != nil {
		return err
	}
	report, err := folder.Verify(given, nil)
	if err != nil {
		return err
	}
	v := viewExport(folder, report)
	return errors.Join(a.show(v, v.words), judged(dir, report))
}

// moment says a time in a zone and, where that is another, in UTC.
func moment(ms int64, zone *time.Location) (local, utc string) {
	t := time.UnixMilli(ms)
	local = t.In(zone).Format("2006-01-02 15:04:05 MST")
	if _, offset := t.In(zone).Zone(); offset != 0 {
		utc = t.UTC().Format("2006-01-02 15:04:05")
	}
	return local, utc
}

// addZoneFlag lets the caller say in which zone times are shown.
func addZoneFlag(c *cobra.Command, zone *string) {
	c.Flags().StringVar(zone, "zone", "", "IANA time zone that times are shown in, beside UTC (default: this machine's)")
}

func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	return zone, misused("--zone", err)
}

// filled leaves out the columns in which nothing stands.
func filled(heading string, rows [][]string) (string, [][]string) {
	names := strings.Fields(heading)
	var kept []string
	out := make([][]string, len(rows))
	for i, name := range names {
		empty := true
		for _, r := range rows {
			empty = empty && r[i] == ""
		}
		if empty && len(rows) > 0 {
			continue
		}
		kept = append(kept, name)
		for j, r := range rows {
			out[j] = append(out[j], orWord(r[i], "-"))
		}
	}
	return strings.Join(kept, " "), out
}

func hex16(b [16]byte) string { return hex.EncodeToString(b[:]) }
