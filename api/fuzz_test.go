package api_test

import (
	"bytes"
	"errors"
	"testing"

	. "warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Every message of the two protocols, read from a peer's bytes. What decodes has
// one encoding, and what it holds can be shown.
func FuzzMessages(f *testing.F) {
	messages := []func() any{
		func() any { return new(UnwrapRequest) }, func() any { return new(UnwrapAnswer) },
		func() any { return new(SubmitRequest) }, func() any { return new(SubmitAnswer) },
		func() any { return new(KeyRecordRequest) }, func() any { return new(KeyRecordAnswer) },
		func() any { return new(KeyListRequest) }, func() any { return new(KeyListAnswer) }, func() any { return new(ClusterAnswer) },
		func() any { return new(StatusAnswer) }, func() any { return new(AuditTailRequest) },
		func() any { return new(AuditTailAnswer) }, func() any { return new(PolicyAnswer) },
		func() any { return new(FreshRequest) }, func() any { return new(FreshAnswer) },
		func() any { return new(AnchorsAnswer) }, func() any { return new(AuditHeadAnswer) },
		func() any { return new(AuditPageRequest) }, func() any { return new(AuditPageAnswer) },
		func() any { return new(ImportRequest) }, func() any { return new(ImportAnswer) },
		func() any { return new(KeyAtRequest) }, func() any { return new(KeyAtAnswer) },
		func() any { return new(AuditHashesRequest) }, func() any { return new(AuditHashesAnswer) },
	}
	for kind, message := range messages {
		f.Add(uint8(kind), wire.Encode(message()))
	}
	f.Add(uint8(0), wire.Encode(UnwrapRequest{RequestID: RequestID{1}, Reason: "why", Items: []UnwrapItem{{Envelope: []byte{1}, Context: Context{"a": "b"}, Prove: true}}}))
	f.Add(uint8(1), wire.Encode(UnwrapAnswer{Items: []ItemAnswer{{Refusal: &Error{Code: CodeDenied, Sentence: "no"}}, {Epoch: 1, Index: 2, Partial: []byte{4}}}}))
	f.Add(uint8(8), wire.Encode(StatusAnswer{Warnings: []string{"w"}, Anchors: map[string]uint64{"n1": 1}}))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		m := messages[int(kind)%len(messages)]()
		if err := wire.Decode(b, m); err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if !bytes.Equal(wire.Encode(m), b) {
			t.Fatalf("%T has a second encoding", m)
		}
		switch m := m.(type) {
		case *UnwrapRequest:
			for _, i := range m.Items {
				if i.Context.Check() == nil && len(i.Context.Canonical()) == 0 && len(i.Context) > 0 {
					t.Fatal("a context is bound as none")
				}
			}
		case *UnwrapAnswer:
			for _, i := range m.Items {
				if i.Refusal != nil && i.Refusal.Error() == "" {
					t.Fatal("a refusal that says nothing")
				}
			}
		}
	})
}
