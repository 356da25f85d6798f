package auditor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// Pages that are asked for at once: nodes answer with as much as fits into a frame.
const (
	pageRecords = 1000
	pageHashes  = 16 << 10
)

// Source is the nodes, as an auditor may ask them; [warifu.dev/client.Client] is
// one. It is asked about several nodes at once. Nothing it gives is believed.
type Source interface {
	AuditHead(ctx context.Context, node string) (*api.AuditHeadAnswer, error)
	AuditPage(ctx context.Context, node string, q api.AuditPageRequest) (*api.AuditPageAnswer, error)
	AuditHashes(ctx context.Context, node string, q api.AuditHashesRequest) (*api.AuditHashesAnswer, error)
}

// Request says what [Take] is to take.
type Request struct {
	Dir     string
	Genesis *authority.VerifiedGenesis
	Chain   *authority.Succession // of the custodians and the roster since; nil: nothing has changed
	Left    string                // the node that left by its last change, once it has; or ""
	Source  Source
	Since   int64                       // Unix milliseconds; 0: everything
	Now     int64                       // Unix milliseconds, for the manifest
	Anchors []*authority.VerifiedAnchor // asked for before anything else: logs only grow
	Keys    []*authority.SignedRecord
	// Archives are where records are taken from that nodes have no more. Of a node
	// without one only the hashes are taken.
	Archives Archives
}

// Take takes the audits of all nodes on the roster into a folder, or goes on with one. Its error is
// about the folder, or says that every node denied it; what is wrong with one node
// stands in the manifest.
//
// Where a log begins to be of interest is looked for by halving, as clocks run
// forward. Of one that was set back, records from before the place found may be as
// young.
func Take(ctx context.Context, o Request) (*Manifest, error) {
	o.Source = o.Archives.with(o.Source)
	m, err := o.begin()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // of m
	var all sync.WaitGroup
	var members []authority.Node
	for _, n := range o.Chain.Genesis.Roster {
		if n.ID != o.Left {
			members = append(members, n)
		}
	}
	failures := make([]error, len(members))
	denied := make([]*api.Error, len(members))
	for i, n := range members {
		mu.Lock()
		line := *m.node(n.ID)
		mu.Unlock()
		all.Go(func() {
			keep := func(line ManifestNode) error {
				mu.Lock()
				defer mu.Unlock()
				*m.node(n.ID) = line
				return write(o.Dir, manifestFile, wire.Encode(m))
			}
			err := o.takeNode(ctx, &n, &line, keep)
			if line.State = ""; err != nil {
				line.State = cut(err.Error(), maxState)
			}
			if refused := (*api.Error)(nil); errors.As(err, &refused) && refused.Code == api.CodeDenied {
				denied[i] = refused
			}
			failures[i] = keep(line)
		})
	}
	all.Wait()
	if !slices.Contains(denied, nil) {
		return nil, fmt.Errorf("copy the audits: all nodes: %w", denied[0])
	}
	return m, errors.Join(failures...)
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// begin makes the folder, or finds that it is one to go on with.
func (o *Request) begin() (*Manifest, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, nodesDir), dirMode); err != nil {
		return nil, err
	}
	known, err := readChain(o.Dir, o.Genesis)
	if err != nil {
		return nil, err
	}
	if o.Chain == nil {
		o.Chain = authority.Begin(o.Genesis)
	}
	if o.Chain, err = authority.Continue(o.Genesis, known, o.Chain.Entries()); err != nil {
		return nil, err
	}
	m := &Manifest{Format: manifestFormat, Genesis: o.Genesis.Hash(), Since: o.Since}
	if b, err := read(o.Dir, manifestFile); err == nil {
		if m, err = ParseManifest(b); err != nil {
			return nil, err
		}
		if m.Genesis != o.Genesis.Hash() {
			return nil, fmt.Errorf("%w: of the cluster whose genesis has the hash %s", ErrOtherExport, m.Genesis)
		}
		if m.Since != o.Since {
			return nil, fmt.Errorf("%w: it was begun for another --since, %s", ErrOtherExport, sinceWord(m.Since))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m.Taken = o.Now
	everyone := Everyone(o.Genesis, o.Chain)
	for _, n := range everyone.Roster {
		line := m.node(n.ID)
		if line.Left = n.ID == o.Left || o.Chain.Genesis.NodeByID(n.ID) == nil; line.Left && line.Size == 0 {
			line.State = hasLeft
		}
	}
	anchors, err := readLines(o.Dir, anchorsFile)
	if err != nil {
		return nil, err
	}
	for _, a := range o.Anchors {
		if everyone.NodeByID(a.Node()) == nil {
			continue
		}
		if line := m.node(a.Node()); line.Left && a.Anchor().AuditSize > line.Size {
			if line.Size > 0 {
				line.State = fmt.Sprintf("%s: records from %d on were not taken", hasLeft, line.Size)
			}
			continue // it is no damage that the copy ends before it
		}
		if !slices.ContainsFunc(anchors, func(b []byte) bool { return string(b) == string(a.Entry()) }) {
			anchors = append(anchors, a.Entry())
		}
	}
	anchors = anchors[max(0, len(anchors)-maxLines):]
	var keys [][]byte
	for _, k := range o.Keys[:min(len(o.Keys), maxLines)] {
		keys = append(keys, k.Encode())
	}
	return m, errors.Join(
		write(o.Dir, genesisFile, o.Genesis.Signed().Encode()),
		write(o.Dir, chainFile, FormatLines(o.Chain.Entries())),
		write(o.Dir, anchorsFile, FormatLines(anchors)),
		write(o.Dir, keysFile, FormatLines(keys)),
		write(o.Dir, manifestFile, wire.Encode(m)),
	)
}

func sinceWord(ms int64) string {
	if ms == 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// takeNode takes what is lacking of one node's log. keep writes its line down.
func (o *Request) takeNode(ctx context.Context, n *authority.Node, line *ManifestNode, keep func(ManifestNode) error) (err error) {
	pub, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return err
	}
	head, err := o.Source.AuditHead(ctx, n.ID)
	if err != nil {
		return err
	}
	c, err := audit.OpenCopy(nodeDir(o.Dir, n.ID), Origin(&o.Genesis.Genesis, n.ID), pub)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	point, err := c.Checkpoint(head.Checkpoint)
	if err != nil {
		return err
	}
	for c.Hashes() < point.Size {
		lacking := min(point.Size-c.Hashes(), pageHashes)
		a, err := o.Source.AuditHashes(ctx, n.ID, api.AuditHashesRequest{From: c.Hashes(), Count: uint32(lacking)})
		if err != nil {
			return err
		}
		if len(a.Hashes) == 0 || uint64(len(a.Hashes)) > lacking*32 {
			return fmt.Errorf("%w: it gave %d bytes of hashes for %d records", audit.ErrOtherLog, len(a.Hashes), lacking)
		}
		if err := c.AddHashes(a.Hashes); err != nil {
			return err
		}
	}
	if !line.Located {
		if line.From, err = o.locate(ctx, n.ID, min(head.Archived, point.Size), point.Size); err != nil {
			return err
		}
		line.Located = true
		if err := keep(*line); err != nil {
			return err
		}
	}
	if err := o.takeBefore(ctx, n.ID, c, line.From, head.Archived); err != nil {
		return err
	}
	for next := max(line.From, c.Next()); next < point.Size; next = c.Next() {
		a, err := o.Source.AuditPage(ctx, n.ID, api.AuditPageRequest{From: next, Below: point.Size, Count: pageRecords})
		if err != nil {
			return err
		}
		for i, r := range a.Records {
			if r.Index != next+uint64(i) {
				return fmt.Errorf("%w: it gave record %d for %d", audit.ErrOtherLog, r.Index, next+uint64(i))
			}
			if err := c.Add(audit.Leaf(r)); err != nil {
				return err
			}
		}
		if len(a.Records) == 0 {
			return fmt.Errorf("%w: it gave no record %d", audit.ErrOtherLog, next)
		}
	}
	if err := c.Finish(head.Checkpoint, line.From); err != nil {
		return err
	}
	line.Size = point.Size
	return nil
}

// takeBefore takes, of the records before the place from, those that carry ledger
// entries, and the last one: its time shows that the place is right.
func (o *Request) takeBefore(ctx context.Context, node string, c *audit.Copy, from, archived uint64) error {
	take := func(q api.AuditPageRequest) (int, error) {
		a, err := o.Source.AuditPage(ctx, node, q)
		if err != nil {
			return 0, err
		}
		for _, r := range a.Records {
			if r.Index >= q.Below {
				return 0, fmt.Errorf("%w: it gave record %d, which was not asked for", audit.ErrOtherLog, r.Index)
			}
			if err := c.Add(audit.Leaf(r)); err != nil {
				return 0, err
			}
		}
		return len(a.Records), nil
	}
	for c.Next() < from {
		n, err := take(api.AuditPageRequest{From: c.Next(), Below: from, Count: pageRecords, Entries: true})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if from == 0 || c.Next() >= from || from-1 < archived {
		return nil
	}
	_, err := take(api.AuditPageRequest{From: from - 1, Below: from, Count: 1})
	return err
}

// locate finds the first record, of those from low on and below high, of the time
// asked for.
func (o *Request) locate(ctx context.Context, node string, low, high uint64) (uint64, error) {
	for o.Since > 0 && low < high {
		middle := low + (high-low)/2
		a, err := o.Source.AuditPage(ctx, node, api.AuditPageRequest{From: middle, Below: middle + 1, Count: 1})
		if err != nil {
			return 0, err
		}
		if len(a.Records) != 1 || a.Records[0].Index != middle {
			return 0, fmt.Errorf("%w: it did not give record %d", audit.ErrOtherLog, middle)
		}
		r, err := audit.DecodeRecord(a.Records[0].Body)
		if err != nil {
			return 0, err
		}
		if r.Time < o.Since {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
