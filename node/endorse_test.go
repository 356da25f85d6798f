package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
)

// A node signs what it has applied itself, with that very link, and nothing else.
func TestANodeVouchesOnlyForItsOwnChain(t *testing.T) {
	n, r := fakeNode(t)
	r.applied, r.links = 20, map[uint64]consensus.Position{15: link(10), 20: link(20)}
	milestone := r.State().LastMilestone()
	for _, tt := range []struct {
		sentence string
		index    uint64
		link     api.Digest
		want     api.Code
	}{
		{"the last command", 20, link(20).Link, ""},
		{"an entry above the last command at or below it", 15, link(10).Link, ""},
		{"the milestone, long ago", milestone.Index, milestone.Link, ""},
		{"another link", 20, other(20).Link, api.CodeFork},
		{"the link of another index", 15, link(20).Link, api.CodeFork},
		{"another link at the milestone", milestone.Index, other(20).Link, api.CodeFork},
		{"what is forgotten", 3, link(3).Link, api.CodeStale},
		{"what is to come", 21, link(21).Link, api.CodeStale},
	} {
		s, err := n.signLink(tt.index, tt.link)
		var refused *api.Error
		if tt.want == "" {
			if err != nil || s.Node != "n1" || verifyLink(&n.genesis.Genesis, s, tt.index, tt.link) != nil {
				t.Errorf("%s: %v", tt.sentence, err)
			}
		} else if !errors.As(err, &refused) || refused.Code != tt.want {
			t.Errorf("%s: got %v, want %s", tt.sentence, err, tt.want)
		}
	}
	r.stopped = consensus.ErrFork
	if _, err := n.signLink(20, link(20).Link); err == nil {
		t.Error("a node that has stopped serving signs")
	}
}

// A member that is behind waits a little, and then says so.
func TestAMemberThatIsBehindWaits(t *testing.T) {
	n, r := fakeNode(t)
	r.links = map[uint64]consensus.Position{}
	begin := time.Now()
	_, err := n.answerLink(t.Context(), &api.LinkRequest{Index: 9, Link: link(9).Link})
	if !errors.Is(err, errNotYet) || time.Since(begin) < signWait {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	r.applied, r.links[9] = 9, link(9)
	a, err := n.answerLink(t.Context(), &api.LinkRequest{Index: 9, Link: link(9).Link})
	if err != nil || verifyLink(&n.genesis.Genesis, consensus.Signature{Node: "n1", Bytes: a.Signature}, 9, link(9).Link) != nil {
		t.Errorf("%v", err)
	}
}

// R17, R11: a signature counts for its cluster, member, index and link alone.
func TestASignatureOverALinkIsBound(t *testing.T) {
	c := trial.New(t, 2, 3)
	sign := func(of api.ClusterID, signer, node string, index uint64, at api.Digest) consensus.Signature {
		b, err := authority.SignLink(rand.Reader, c.Node(signer), of, node, index, at)
		if err != nil {
			t.Fatal(err)
		}
		return consensus.Signature{Node: signer, Bytes: b}
	}
	cluster, at := c.Genesis.Cluster, link(7)
	good := sign(cluster, "n2", "n2", 7, at.Link)
	if err := verifyLink(&c.Genesis.Genesis, good, 7, at.Link); err != nil {
		t.Fatal(err)
	}
	fresh, err := c.Node("n2").Sign(rand.Reader, tag.FreshAnswer, cluster[:], []byte("n2"), tag.Uint64(7), at.Link[:])
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := cluster
	elsewhere[0] ^= 1
	for sentence, s := range map[string]consensus.Signature{
		"another cluster":      sign(elsewhere, "n2", "n2", 7, at.Link),
		"another member":       sign(cluster, "n2", "n3", 7, at.Link),
		"another member's key": {Node: "n2", Bytes: sign(cluster, "n3", "n2", 7, at.Link).Bytes},
		"another index":        sign(cluster, "n2", "n2", 8, at.Link),
		"another link":         sign(cluster, "n2", "n2", 7, other(7).Link),
		"a stranger":           {Node: "n9", Bytes: good.Bytes},
		"another statement":    {Node: "n2", Bytes: fresh.ASN1},
	} {
		if err := verifyLink(&c.Genesis.Genesis, s, 7, at.Link); !errors.Is(err, authority.ErrSignature) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// A snapshot takes nothing out of the log that the audit does not have, and is in
// the audit before it is made; without an audit there is none.
func TestTheAuditComesBeforeTheSnapshot(t *testing.T) {
	c := trial.New(t, 2, 3)
	dir := filepath.Join(t.TempDir(), "audit")
	key := journalKey()
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "warifu/test/n1", Public: &key.PublicKey, Signer: signMessage(key), ReserveBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal("n1", log, time.Now)
	_, taken := c.State().Apply(5, c.Order("demo"))
	j.take(5, c.Order("demo"), taken)
	j.take(9, []byte("noise"), ledger.Result{Err: authority.ErrEntry})
	short, cancel := context.WithTimeout(t.Context(), 3*signLook)
	defer cancel()
	if err := j.through(short, 4); err != nil {
		t.Errorf("what is below waits, too: %v", err)
	}
	if err := j.through(short, 9); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nobody to write it: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); j.run(ctx, func(error) {}) }()
	if err := j.through(ctx, 9); err != nil || log.Size() != 1 {
		t.Errorf("%v, with %d records", err, log.Size())
	}
	j.take(12, c.Order("demo"), ledger.Result{ID: taken.ID, Kind: taken.Kind, Index: 12})
	if index := j.snapshot(consensus.Position{Index: 9, Link: api.Digest{9}}); index != 12 {
		t.Errorf("the record is at %d", index)
	} else if err := j.through(ctx, index); err != nil {
		t.Error(err)
	}
	records, err := log.Tail(9)
	if err != nil || len(records) != 3 || records[2].Kind != audit.Snapshot || records[2].LedgerFrom != 9 || records[2].EntryID != [32]byte{9} {
		t.Errorf("%v, %v", records, err)
	}
	if log.Journaled() != 12 {
		t.Errorf("a start would count on %d", log.Journaled()) // not 9: 12 would be written again
	}
	_ = log.Close()
	j.take(15, c.Order("demo"), ledger.Result{ID: taken.ID, Kind: taken.Kind, Index: 15})
	eventually(t, "the journal is broken", func() bool { _, broken := j.behind(0); return broken })
	if err := j.through(ctx, 12); !errors.Is(err, errJournal) {
		t.Errorf("with a broken audit: %v", err)
	}
	stop()
	<-done
}

// Entries that a node never saw whole are named by a record, once, also when the
// node was killed before it could write it; its own snapshot leaves no gap.
func TestTheGapThatASnapshotLeavesIsRecorded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	at := func(index uint64) consensus.Position {
		return consensus.Position{Index: index, Link: api.Digest{byte(index)}}
	}
	noise := ledger.Result{Err: authority.ErrEntry}
	for _, tt := range []struct {
		sentence string
		life     func(j *journal)
		want     []audit.Indexed // with what it is about
	}{
		{"entries, and then a snapshot of its own", func(j *journal) {
			j.take(3, nil, noise)
			j.snapshot(at(3))
		}, []audit.Indexed{{Record: audit.Record{Kind: audit.Snapshot, LedgerFrom: 3, LedgerIndex: 3}}}},
		{"it is found at start, and one that a leader sends follows", func(j *journal) {
			j.install(at(3))
			j.take(4, nil, noise)
			j.install(at(9))
			j.take(10, nil, noise)
		}, []audit.Indexed{{Record: audit.Record{Kind: audit.Gap, LedgerFrom: 4, LedgerIndex: 9}}}},
		{"the same is found at start", func(j *journal) { j.install(at(9)) }, nil},
		{"one was installed before the node was killed", func(j *journal) { j.install(at(20)) }, []audit.Indexed{{Record: audit.Record{Kind: audit.Gap, LedgerFrom: 9, LedgerIndex: 20}}}},
	} {
		j, log, stop := newTestJournal(t, dir)
		before := log.Size()
		tt.life(j)
		eventually(t, "all is written", func() bool { behind, _ := j.behind(1 << 60); return !behind })
		var got []audit.Indexed
		for i := before; i < log.Size(); i++ {
			r, err := log.Read(i)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, audit.Indexed{Record: audit.Record{Kind: r.Kind, LedgerFrom: r.LedgerFrom, LedgerIndex: r.LedgerIndex}})
		}
		stop()
		if !slices.EqualFunc(got, tt.want, func(a, b audit.Indexed) bool {
			return a.Kind == b.Kind && a.LedgerFrom == b.LedgerFrom && a.LedgerIndex == b.LedgerIndex
		}) {
			t.Errorf("%s: recorded %v, want %v", tt.sentence, got, tt.want)
		}
	}
}

// Three real nodes make signed snapshots and cut their logs; one that was away
// meanwhile is brought up by a snapshot, serves, and its audit names the gap.
func TestANodeThatWasAwayIsBroughtUpByASignedSnapshot(t *testing.T) {
	c := newCluster(t)
	c.snapshots = consensus.Policy{Segment: 4096, Interval: time.Second, Threshold: 1, Trailing: 0}
	have := func(dir string) []byte {
		b, _ := os.ReadFile(filepath.Join(dir, "raft", "snapshot"))
		return b
	}
	c.run(func() {
		c.logged(3, "state=unsealed")
		eventually10(t, "every node has a snapshot", func() bool {
			return !slices.ContainsFunc(c.dirs, func(dir string) bool { return have(dir) == nil })
		})
	})
	away := c.dirs[0]
	old := have(away)
	// The others go on until none of them has the entry that comes after its last.
	_, last := reach(t, away)
	unsealed := 3
	behind := func() bool {
		return slices.ContainsFunc(c.dirs[1:], func(dir string) bool { first, _ := reach(t, dir); return first <= last+1 })
	}
	for range 10 {
		if !behind() {
			break
		}
		unsealed += 2
		c.runSome(c.dirs[1:], func() {
			c.logged(unsealed, "state=unsealed")
			before := [][]byte{have(c.dirs[1]), have(c.dirs[2])}
			for i, dir := range c.dirs[1:] {
				eventually10(t, "the others have newer snapshots", func() bool { return string(have(dir)) != string(before[i]) && len(have(dir)) > 0 })
			}
		})
	}
	if behind() {
		t.Fatal("the others have not cut their logs")
	}
	c.run(func() {
		c.logged(1, "a snapshot has taken the place of the log")
		c.logged(unsealed+3, "state=unsealed")
	})
	if string(have(away)) == string(old) {
		t.Error("it has the snapshot it had")
	}
	if strings.Contains(c.log.String(), "own=false") || strings.Contains(c.log.String(), "stopped serving") {
		t.Errorf("a snapshot was refused: %s", c.log.String())
	}
	gaps := 0
	for _, r := range c.records(away) {
		if r.Kind == audit.Gap {
			gaps++
			if r.LedgerFrom == 0 || r.LedgerFrom >= r.LedgerIndex || r.Why == "" {
				t.Errorf("the gap is %+v", r)
			}
		}
	}
	if gaps == 0 {
		t.Errorf("audited %v", c.audited(away))
	}
	if kinds := c.audited(c.dirs[1]); !slices.Contains(kinds, audit.Snapshot) {
		t.Errorf("audited %v", kinds)
	}
}

// reach is from which entry on a stopped node has its log, or would have it, and which
// entry is its last, there or in its snapshot.
func reach(t *testing.T, dir string) (first, last uint64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "raft", "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	const head = 8 + 4 // the magic, and how long the meta is
	var meta struct {
		Index              uint64 `cbor:"1,keyasint"`
		Term               uint64 `cbor:"2,keyasint"`
		Configuration      []byte `cbor:"3,keyasint"`
		ConfigurationIndex uint64 `cbor:"4,keyasint"`
	}
	if err := wire.Decode(b[head:head+binary.BigEndian.Uint32(b[8:])], &meta); err != nil {
		t.Fatal(err)
	}
	disk, err := wal.Open(filepath.Join(dir, "raft"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	if first, err = disk.FirstIndex(); err == nil {
		last, err = disk.LastIndex()
	}
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 { // it is empty
		return meta.Index + 1, meta.Index
	}
	return first, max(last, meta.Index)
}

// eventually10 waits for what takes real nodes some seconds.
func eventually10(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1800 { // three minutes, on a busy machine
		if is() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("it never came to this: " + what)
}
