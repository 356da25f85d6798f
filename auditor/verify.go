package auditor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
)

// Folder is an export whose genesis document is the right one. Only [Open] makes one.
type Folder struct {
	Genesis  *authority.VerifiedGenesis
	Chain    *authority.Succession // of custodians and roster since, as far as the export knows
	Manifest *Manifest
	Keys     []*authority.VerifiedRecord // those that verify
	dir      string
	everyone *authority.Genesis // with all who have ever been on the roster
	anchors  []*authority.VerifiedAnchor
	notes    []string // about files of the folder
}

// Open reads an export and holds its genesis document against a hash. The logs are
// not looked at yet.
func Open(dir string, genesis api.Digest) (*Folder, error) {
	f := &Folder{dir: dir}
	var err error
	if f.Manifest, err = readManifest(dir); err != nil {
		return nil, err
	}
	b, err := read(dir, genesisFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoExport, err)
	}
	signed, _, err := authority.ParseSignedGenesis(b)
	if err != nil {
		return nil, err
	}
	if signed.Hash() != genesis {
		return nil, fmt.Errorf("%w: its hash is %s, expected is %s", ErrGenesis, signed.Hash(), genesis)
	}
	if f.Genesis, err = signed.Verify(); err != nil {
		return nil, err
	}
	anchors, err := readLines(dir, anchorsFile)
	if err != nil {
		return nil, err
	}
	if f.Chain, err = readChain(dir, f.Genesis); err != nil {
		return nil, err
	}
	f.everyone = Everyone(f.Genesis, f.Chain)
	if f.anchors, err = verifyAnchors(f.everyone, anchors); err != nil {
		return nil, fmt.Errorf("%s: %w", anchorsFile, err)
	}
	keys, err := readLines(dir, keysFile)
	if err != nil {
		return nil, err
	}
	for i, b := range keys {
		s, err := authority.ParseSignedRecord(b)
		var r *authority.VerifiedRecord
		if err == nil {
			r, err = s.Verify(f.Genesis)
		}
		if err != nil {
			f.notes = append(f.notes, fmt.Sprintf("line %d of %s is not believed: %v", i+1, keysFile, err))
			continue
		}
		f.Keys = append(f.Keys, r)
	}
	return f, nil
}

func verifyAnchors(g *authority.Genesis, lines [][]byte) ([]*authority.VerifiedAnchor, error) {
	var out []*authority.VerifiedAnchor
	for i, b := range lines {
		v, err := authority.VerifyAnchor(g, b)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// Given is what an auditor brings to an export, kept where nobody who had the export
// could reach it.
type Given struct {
	Checkpoints [][]byte // signed notes, of any nodes
	Anchors     [][]byte // entries, of any nodes
	Older       *Folder  // an older export, or nil
	Without     []string // nodes that are known to be missing, and are left out
}

// NodeReport is what is known of one node's log.
type NodeReport struct {
	Node   string
	Absent string // why there is none to verify; empty: there is
	Left   bool   // left out, as was asked for
	From   uint64 // records from here on are all here
	audit.Copied
	Anchored uint64 // records under anchors that came with the export
	Kept     uint64 // records under what was kept elsewhere
	Checked  bool   // something was kept elsewhere: the end is checked that far
	Damage   error  // nil, or what is wrong; it names a record where it can
	Notes    []string
}

// Report is what is known of an export.
type Report struct {
	Nodes   []NodeReport // as they came to the roster
	History *History
	Notes   []string
}

// Damaged lists the nodes whose logs are not what they signed.
func (r *Report) Damaged() []NodeReport {
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n NodeReport) bool { return n.Damage == nil })
}

// Lacking lists the nodes whose logs are not here, or not whole, and were not left out.
func (r *Report) Lacking() []NodeReport {
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n NodeReport) bool { return n.Absent == "" || n.Left })
}

// Visitor is shown the records of an export, node by node, each log in its order.
type Visitor func(node string, r audit.Indexed) error

// Verify verifies every log of the export, and what nodes say of the ledger, and
// shows visit, which may be nil, each record on the way. What visit saw of a node
// with damage counts for nothing.
func (f *Folder) Verify(given Given, visit Visitor) (*Report, error) {
	g := f.everyone
	for _, id := range given.Without {
		if g.NodeByID(id) == nil {
			return nil, fmt.Errorf("%w: no node %q was ever on the roster", authority.ErrGenesis, id)
		}
	}
	kept, err := given.points(g)
	if err != nil {
		return nil, err
	}
	report := &Report{Notes: f.notes}
	c := newChronicle(f.Genesis)
	for i := range g.Roster {
		n := &g.Roster[i]
		r := f.verifyNode(n, given, kept[n.ID], func(r audit.Indexed) error {
			if err := c.take(n.ID, &r); err != nil {
				return &audit.DamagedError{Index: r.Index, Segment: "records", Why: fmt.Sprintf("what it holds as a ledger entry is none: %v", err)}
			}
			if visit == nil {
				return nil
			}
			return visit(n.ID, r)
		})
		report.Nodes = append(report.Nodes, r)
	}
	for _, n := range report.Nodes {
		if n.Damage != nil {
			c.forget(n.Node)
		} else if n.Absent == "" {
			c.logs++
		}
	}
	var liars map[string]*audit.DamagedError
	report.History, liars = c.history()
	for _, id := range report.History.unknown(g) {
		report.Nodes = append(report.Nodes, NodeReport{Node: id, Absent: "the logs tell that it came to the cluster, and the changes of the roster in the export do not"})
	}
	for i := range report.Nodes {
		if r := &report.Nodes[i]; r.Damage == nil && liars[r.Node] != nil {
			r.Damage = liars[r.Node]
		}
	}
	return report, nil
}

// points sorts what was kept by node.
func (g *Given) points(genesis *authority.Genesis) (map[string][]audit.Anchor, error) {
	kept := map[string][]audit.Anchor{}
	for i, signed := range g.Checkpoints {
		node, p, err := checkpointOf(genesis, signed)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d: %w", i+1, err)
		}
		kept[node] = append(kept[node], audit.Anchor{Name: "the checkpoint given", Size: p.Size, Root: p.Root})
	}
	anchors, err := verifyAnchors(genesis, g.Anchors)
	if err != nil {
		return nil, fmt.Errorf("the anchors given: %w", err)
	}
	if g.Older != nil {
		if g.Older.Genesis.Cluster != genesis.Cluster {
			return nil, fmt.Errorf("%w: the older one is of another cluster", ErrOtherExport)
		}
		anchors = append(anchors, g.Older.anchors...)
		for i := range genesis.Roster {
			n := &genesis.Roster[i]
			if p, err := g.Older.checkpoint(n); err == nil {
				kept[n.ID] = append(kept[n.ID], audit.Anchor{Name: "the older export", Size: p.Size, Root: p.Root})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("the older export, %s: %w", n.ID, err)
			}
		}
	}
	for _, v := range anchors {
		kept[v.Node()] = append(kept[v.Node()], asPoint(v))
	}
	return kept, nil
}

// checkpointOf finds out whose checkpoint it is, and verifies it.
func checkpointOf(g *authority.Genesis, signed []byte) (string, audit.Checkpoint, error) {
	first, _, _ := strings.Cut(string(signed), "\n")
	for i := range g.Roster {
		n := &g.Roster[i]
		if first != Origin(g, n.ID) {
			continue
		}
		pub, err := authority.ParsePublicKey(n.Key)
		if err != nil {
			return "", audit.Checkpoint{}, err
		}
		p, err := audit.ParseCheckpoint(signed, pub)
		return n.ID, p, err
	}
	return "", audit.Checkpoint{}, fmt.Errorf("%w: of none of the nodes", audit.ErrBadCheckpoint)
}

func asPoint(v *authority.VerifiedAnchor) audit.Anchor {
	a := v.Anchor()
	return audit.Anchor{
		Name: fmt.Sprintf("anchor %d of %s, of %s,", a.Counter, v.Node(), time.UnixMilli(a.Time).UTC().Format(time.RFC3339)),
		Size: a.AuditSize, Root: a.AuditRoot,
	}
}

func (f *Folder) checkpoint(n *authority.Node) (audit.Checkpoint, error) {
	pub, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.CheckpointIn(nodeDir(f.dir, n.ID), Origin(&f.Genesis.Genesis, n.ID), pub)
}

// verifyNode verifies one log.
func (f *Folder) verifyNode(n *authority.Node, given Given, kept []audit.Anchor, visit func(audit.Indexed) error) NodeReport {
	line := f.Manifest.node(n.ID)
	r := NodeReport{Node: n.ID, From: line.From, Left: slices.Contains(given.Without, n.ID)}
	if r.Left {
		r.Absent = "left out, as was asked for"
		return r
	}
	pub, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		r.Damage = err
		return r
	}
	if _, err := f.checkpoint(n); errors.Is(err, fs.ErrNotExist) {
		r.Absent = "its log is not in the export"
		if line.State != "" {
			r.Absent += ": " + line.State
		}
		return r
	}
	var points []audit.Anchor
	for _, v := range f.anchors {
		if v.Node() == n.ID {
			points = append(points, asPoint(v))
			r.Anchored = max(r.Anchored, v.Anchor().AuditSize)
		}
	}
	points = append(points, kept...)
	for _, p := range kept {
		r.Kept, r.Checked = max(r.Kept, p.Size), true
	}
	dir, origin := nodeDir(f.dir, n.ID), Origin(&f.Genesis.Genesis, n.ID)
	before := int64(0)
	r.Copied, r.Damage = audit.VerifyCopy(dir, line.From, origin, pub, points, func(i audit.Indexed) error {
		if i.Index+1 == line.From {
			before = i.Time
		}
		if i.Node != "" && i.Node != n.ID {
			return &audit.DamagedError{Index: i.Index, Segment: "records", Why: fmt.Sprintf("it says that %s wrote it", i.Node)}
		}
		return visit(i)
	})
	if r.Damage != nil {
		r.Damage = f.sharpen(n, given, r.Damage)
		return r
	}
	if line.State != "" {
		r.Absent = "it was not taken whole: " + line.State
	}
	switch since := f.Manifest.Since; {
	case line.From == 0:
	case before == 0:
		r.Notes = append(r.Notes, fmt.Sprintf("of the first %d records, ledger entries apart, only the hashes are here", line.From))
	case since == 0 || before >= since:
		r.Notes = append(r.Notes, fmt.Sprintf("records before %d are left out, and the last of these is of %s: not of before the time that was asked for", line.From, instant(before)))
	default:
		r.Notes = append(r.Notes, fmt.Sprintf("records before %d are left out, but for ledger entries; the last of these is of %s", line.From, instant(before)))
	}
	return r
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// sharpen says more of damage that is only seen against what was kept: when the log
// is under its own checkpoint, the node signed both, and an older export knows where
// they part.
func (f *Folder) sharpen(n *authority.Node, given Given, err error) error {
	damage := (*audit.DamagedError)(nil)
	if !errors.As(err, &damage) || !damage.Unplaced {
		return err
	}
	verify := func(of *Folder) (audit.Copied, error) {
		pub, err := authority.ParsePublicKey(n.Key)
		if err != nil {
			return audit.Copied{}, err
		}
		return audit.VerifyCopy(nodeDir(of.dir, n.ID), of.Manifest.node(n.ID).From, Origin(&f.Genesis.Genesis, n.ID), pub, nil, func(audit.Indexed) error { return nil })
	}
	now, alone := verify(f)
	if alone != nil {
		return err
	}
	why := fmt.Sprintf("%s signed two logs: %s", n.ID, damage.Why)
	if given.Older == nil {
		return &audit.DamagedError{Unplaced: true, Why: why}
	}
	older, wrong := verify(given.Older)
	if wrong != nil {
		return &audit.DamagedError{Unplaced: true, Why: why}
	}
	index, wrong := audit.FirstDifference(nodeDir(f.dir, n.ID), nodeDir(given.Older.dir, n.ID), min(now.Size, older.Size))
	if wrong != nil || index >= min(now.Size, older.Size) {
		return &audit.DamagedError{Unplaced: true, Why: why}
	}
	return &audit.DamagedError{Index: index, Segment: "leaves", Why: n.ID + " signed two logs: this record is another than in the older export"}
}
