package node

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/internal/wire"
)

func page[A any](t *testing.T, n *Node, method uint16, q any) *A {
	t.Helper()
	b, err := n.auditPage(method, wire.Encode(q))
	if err != nil {
		t.Fatal(err)
	}
	var a A
	if err := wire.Decode(b, &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

// An auditor copies a log page by page: what it gets is bounded, and verifies under the
// checkpoint it got first.
func TestAnAuditorCopiesALogPageByPage(t *testing.T) {
	_, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	const records = 30
	for i := range records {
		r := audit.Record{Time: int64(i), Node: "n1", Kind: audit.Release}
		if i%5 == 0 {
			r.Kind, r.Entry = audit.Change, make([]byte, audit.MaxEntry)
		}
		if _, err := log.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	n := &Node{audit: log}
	head := page[api.AuditHeadAnswer](t, n, api.MethodAuditHead, nil)
	c, err := audit.OpenCopy(filepath.Join(t.TempDir(), "copy"), "warifu/test/n1", &journalKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p, err := c.Checkpoint(head.Checkpoint); err != nil || p.Size != records || head.Archived != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	hashes := page[api.AuditHashesAnswer](t, n, api.MethodAuditHashes, api.AuditHashesRequest{Count: ^uint32(0)})
	if err := c.AddHashes(hashes.Hashes); err != nil || c.Hashes() != records {
		t.Fatalf("%d hashes, %v", c.Hashes(), err)
	}
	pages := 0
	for ; c.Next() < records; pages++ {
		q := api.AuditPageRequest{From: c.Next(), Below: ^uint64(0), Count: ^uint32(0)}
		b, err := n.auditPage(api.MethodAuditPage, wire.Encode(q))
		if err != nil || len(b) > 1<<20 {
			t.Fatalf("a page of %d bytes, %v", len(b), err)
		}
		for _, r := range page[api.AuditPageAnswer](t, n, api.MethodAuditPage, q).Records {
			if err := c.Add(audit.Leaf(r)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pages < 2 {
		t.Errorf("%d pages", pages)
	}
	if err := c.Finish(head.Checkpoint, 0); err != nil {
		t.Error(err)
	}
	entries := page[api.AuditPageAnswer](t, n, api.MethodAuditPage, api.AuditPageRequest{From: 1, Below: 11, Count: 10, Entries: true}).Records
	if len(entries) != 2 || entries[0].Index != 5 || entries[1].Index != 10 {
		t.Errorf("%d entries", len(entries))
	}
	for _, method := range []uint16{api.MethodAuditPage, api.MethodAuditHashes} {
		if _, err := n.auditPage(method, []byte("noise")); codeOf(err) != api.CodeMalformed {
			t.Errorf("method %d, noise: %v", method, err)
		}
	}
	if a := page[api.AuditPageAnswer](t, n, api.MethodAuditPage, api.AuditPageRequest{From: ^uint64(0), Below: ^uint64(0), Count: 1}); len(a.Records) != 0 {
		t.Error("records past the end")
	}
}

// Of one connection so many pages a second are answered, and no more.
func TestAnAuditorIsHeldToARate(t *testing.T) {
	_, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	now := time.Unix(5, 0)
	c := clientServer{&Node{audit: log, now: func() time.Time { return now }}}
	s := &session{}
	ask := func() error {
		_, err := c.answer(context.Background(), s, classAuditor, api.MethodAuditHashes, wire.Encode(api.AuditHashesRequest{Count: 1}))
		return err
	}
	for i := range pagesPerSecond {
		if err := ask(); err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
	}
	var refused *api.Error
	if err := ask(); !errors.As(err, &refused) || refused.Code != api.CodeOverloaded || !refused.Retryable {
		t.Errorf("one more: %v", err)
	}
	now = now.Add(time.Second)
	if err := ask(); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
