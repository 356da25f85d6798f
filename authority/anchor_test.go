package authority_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
)

// An anchor that left the ledger is believed for its node's signature alone.
func TestAnAnchorIsItsNodesOrNobodys(t *testing.T) {
	w := newWorld(t)
	g, signer, other := &w.doc, w.nodes[0], w.nodes[1]
	said := Anchor{Counter: 3, Time: 1, AuditSize: 7, AuditRoot: api.Digest{1}}
	sign := func(s *Signer, cluster api.ClusterID, kind string, body any) []byte {
		t.Helper()
		e, err := SignStatement(rand.Reader, s, cluster, g.Roster[0].ID, kind, body)
		if err != nil {
			t.Fatal(err)
		}
		return e.Encode()
	}
	good := sign(signer, g.Cluster, KindAnchor, said)
	v, err := VerifyAnchor(g, good)
	if err != nil || v.Node() != g.Roster[0].ID || v.Anchor() != said || !bytes.Equal(v.Entry(), good) {
		t.Fatalf("%+v, %v", v, err)
	}
	for sentence, tt := range map[string]struct {
		entry []byte
		want  error
	}{
		"of another node's key":   {sign(other, g.Cluster, KindAnchor, said), ErrSignature},
		"of another cluster":      {sign(signer, api.ClusterID{9}, KindAnchor, said), ErrStatement},
		"another statement of it": {sign(signer, g.Cluster, KindAbandon, Abandon{}), ErrStatement},
		"of another shape":        {sign(signer, g.Cluster, KindAnchor, Abandon{}), ErrStatement},
		"junk":                    {[]byte("junk"), ErrEntry},
		"nothing":                 {nil, ErrEntry},
	} {
		if _, err := VerifyAnchor(g, tt.entry); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", sentence, err, tt.want)
		}
	}
	for at := range good {
		b := bytes.Clone(good)
		b[at] ^= 1
		if v, err := VerifyAnchor(g, b); err == nil && v.Anchor() != said {
			t.Fatalf("byte %d altered: %+v", at, v.Anchor())
		}
	}
}

func FuzzVerifyAnchor(f *testing.F) {
	w := newWorld(f)
	g, signer := &w.doc, w.nodes[0]
	said := Anchor{Counter: 3, Time: 1, AuditSize: 7}
	e, err := SignStatement(rand.Reader, signer, g.Cluster, g.Roster[0].ID, KindAnchor, said)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := VerifyAnchor(g, b)
		switch {
		case err == nil && v.Anchor() != said:
			t.Fatalf("forged: %+v", v.Anchor())
		case err != nil && !errors.Is(err, ErrEntry) && !errors.Is(err, ErrStatement) && !errors.Is(err, ErrSignature):
			t.Fatalf("unnamed error %v", err)
		}
	})
}
