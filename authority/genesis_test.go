package authority_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

func TestGenesisRules(t *testing.T) {
	w := newWorld(t)
	if err := w.doc.Check(); err != nil {
		t.Fatalf("the rows below differ from a good document in one thing: %v", err)
	}
	opened := w.doc
	opened.Unseal, opened.UnsealCount = UnsealCustodians, 2
	if err := opened.Check(); err != nil {
		t.Fatalf("seals that two custodians open: %v", err)
	}
	for _, row := range []struct {
		name  string
		alter func(*Genesis)
	}{
		{"another format", func(g *Genesis) { g.Format = 2 }},
		{"no cluster id", func(g *Genesis) { g.Cluster = api.ClusterID{}; g.Root.Cluster = g.Cluster }},
		{"no creation time", func(g *Genesis) { g.Created = 0 }},
		{"an unseal mode that is not known", func(g *Genesis) { g.Unseal = "hsm+moon" }},
		{"a count of custodians for a mode without them", func(g *Genesis) { g.UnsealCount = 2 }},
		{"custodians who open seals, and no count", func(g *Genesis) { g.Unseal = UnsealCustodians }},
		{"one custodian who opens seals", func(g *Genesis) { g.Unseal, g.UnsealCount = UnsealCustodians, 1 }},
		{"more custodians to open seals than there are", func(g *Genesis) { g.Unseal, g.UnsealCount = UnsealCustodians, 4 }},
		{"no custodian", func(g *Genesis) { g.Custodians = nil }},
		{"17 custodians", func(g *Genesis) {
			for i := range 14 {
				g.Custodians = append(g.Custodians, Custodian{Name: fmt.Sprintf("more%d", i), Sign: newSigner(t).PublicKey(), Open: "age1"})
			}
		}},
		{"a custodian's name in upper case", func(g *Genesis) { g.Custodians[0].Name = "Aki" }},
		{"two custodians of one name", func(g *Genesis) { g.Custodians[0].Name = g.Custodians[1].Name }},
		{"two custodians with one key", func(g *Genesis) { g.Custodians[0].Sign = g.Custodians[1].Sign }},
		{"a custodian with a node's key", func(g *Genesis) { g.Custodians[0].Sign = g.Roster[1].Key }},
		{"a custodian's key of 33 bytes", func(g *Genesis) { g.Custodians[0].Sign = g.Custodians[0].Sign[:33] }},
		{"a custodian's key off the curve", func(g *Genesis) { g.Custodians[0].Sign[64] ^= 1 }}, // R4
		{"a custodian without an opening key", func(g *Genesis) { g.Custodians[0].Open = "" }},
		{"one node", func(g *Genesis) { g.Roster = g.Roster[:1] }},
		{"17 nodes", func(g *Genesis) {
			for i := range 12 {
				s, id := newSigner(t), fmt.Sprintf("m%d", i)
				g.Roster = append(g.Roster, Node{ID: id, Region: "sg", Key: s.PublicKey(), Claim: w.claim(s, id, 1)})
			}
		}},
		{"two nodes of one id", func(g *Genesis) { g.Roster[0].ID = g.Roster[1].ID }},
		{"two nodes with one key", func(g *Genesis) { g.Roster[0].Key = g.Roster[1].Key }},
		{"a region with a space", func(g *Genesis) { g.Roster[0].Region = "jp east" }},
		{"an address claimed by another node", func(g *Genesis) { g.Roster[0].Claim = g.Roster[1].Claim }},
		{"an address that its node did not sign", func(g *Genesis) { g.Roster[0].Claim.Client = "b.example:1" }},
		{"a peer address that its node did not sign", func(g *Genesis) { g.Roster[0].Claim.Peer = "b.example:1" }},
		{"another counter than its node signed", func(g *Genesis) { g.Roster[0].Claim.Counter++ }},
		{"an address signed by another node", func(g *Genesis) { g.Roster[0].Claim = w.claim(w.nodes[1], "n1", 1) }},
		{"counts that are not sorted", func(g *Genesis) { slices.Reverse(g.Required) }},
		{"a count given twice", func(g *Genesis) { g.Required = slices.Insert(g.Required, 0, g.Required[0]) }},
		{"a count for an unknown kind", func(g *Genesis) { g.Required = append(g.Required, RequiredCount{"zeal", 1}) }},
		{"a kind without a count", func(g *Genesis) { g.Required = g.Required[:3] }},
		{"a count of 0", func(g *Genesis) { g.Required[1].Count = 0 }},
		{"a count above the custodians", func(g *Genesis) { g.Required[1].Count = 4 }},
		{"a root order for another cluster", func(g *Genesis) { g.Root.Cluster[0] ^= 1 }},
		{"a root order for an ordinary key", func(g *Genesis) { g.Root.Purpose, g.Root.Name = PurposeUnwrap, "payroll" }},
		{"a root key with a threshold of 1", func(g *Genesis) { g.Root.T = 1 }},
		{"a root key held by a node that is not there", func(g *Genesis) { g.Root.Holders[0] = "n9" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := w.copied()
			row.alter(g)
			if err := g.Check(); !errors.Is(err, ErrGenesis) {
				t.Fatalf("checked: %v", err)
			}
			// It is refused before anybody's signature is asked for, and after.
			b := (&SignedGenesis{Body: wire.Encode(g)}).Encode()
			if _, _, err := ParseSignedGenesis(b); !errors.Is(err, ErrGenesis) {
				t.Errorf("parsed: %v", err)
			}
			if _, err := (&SignedGenesis{Body: wire.Encode(g)}).Verify(); !errors.Is(err, ErrGenesis) {
				t.Errorf("verified: %v", err)
			}
		})
	}
}

func TestGenesisSignatures(t *testing.T) {
	w := newWorld(t)
	c := w.custodians
	if err := (&SignedGenesis{Body: wire.Encode(w.doc)}).Sign(rand.Reader, newSigner(t)); !errors.Is(err, ErrSignature) {
		t.Errorf("a stranger may sign: %v", err)
	}
	two := w.signed(&w.doc, c[0], c[2])
	again := w.signed(&w.doc, c[0], c[2])
	_ = again.Sign(rand.Reader, c[0])
	if len(again.Signatures) != 2 || two.Hash() != again.Hash() {
		t.Error("signing twice changes something")
	}
	twice := w.signed(&w.doc, c[0])
	twice.Signatures = append(twice.Signatures, twice.Signatures[0])
	padded := w.signed(&w.doc, c[0], c[1])
	padded.Signatures = append(padded.Signatures, Signature{Signer: Fingerprint{1}, ASN1: padded.Signatures[0].ASN1})
	altered := w.signed(&w.doc, c...)
	other := w.copied()
	other.Created++
	altered.Body = wire.Encode(other)
	renamed := w.signed(&w.doc, c[0], c[1])
	renamed.Signatures[0].Signer = FingerprintOf(c[2].PublicKey())
	for _, row := range []struct {
		name string
		doc  *SignedGenesis
		want error
	}{
		{"two of three", two, nil},
		{"all", w.signed(&w.doc, c...), nil},
		{"one", w.signed(&w.doc, c[1]), ErrTooFewSignatures},
		{"none", w.signed(&w.doc), ErrTooFewSignatures},
		{"one, twice", twice, ErrSignature},
		{"two and a stranger", padded, ErrSignature},
		{"three, over another body", altered, ErrSignature},
		{"one in another's name", renamed, ErrSignature},
	} {
		t.Run(row.name, func(t *testing.T) {
			parsed, _, err := ParseSignedGenesis(row.doc.Encode())
			if err != nil {
				t.Fatal(err)
			}
			g, err := parsed.Verify()
			if !errors.Is(err, row.want) || (g == nil) != (row.want != nil) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if g != nil && (g.Hash() != two.Hash() || !bytes.Equal(g.Signed().Encode(), row.doc.Encode())) {
				t.Error("it is another document")
			}
		})
	}
}

func TestOrderRules(t *testing.T) {
	w := newWorld(t)
	good := w.order()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	nodes := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("n%d", i))
		}
		return out
	}
	for _, row := range []struct {
		name  string
		alter func(*Order)
		ok    bool
	}{
		{"2 of 2 with f = 0", func(o *Order) { o.T, o.F, o.Holders = 2, 0, nodes(2) }, true},
		{"16 of 16 with f = 0", func(o *Order) { o.T, o.F, o.Holders = 16, 0, nodes(16) }, true},
		{"8 of 16 with f = 7", func(o *Order) { o.T, o.F, o.Holders = 8, 7, nodes(16) }, true},
		{"8 of 16 with f = 8", func(o *Order) { o.T, o.F, o.Holders = 8, 8, nodes(16) }, false},
		{"3 of 5 with f = 0", func(o *Order) { o.F = 0 }, false},
		{"3 of 5 with f = 3", func(o *Order) { o.F = 3 }, false},
		{"2 of 2 with f = 1", func(o *Order) { o.T, o.F, o.Holders = 2, 1, nodes(2) }, false},
		{"f = 2^32-1", func(o *Order) { o.F = 1<<32 - 1 }, false},
		{"t = 0", func(o *Order) { o.T = 0 }, false}, // R2
		{"t = 1", func(o *Order) { o.T = 1 }, false},
		{"t = h+1", func(o *Order) { o.T = 6 }, false},
		{"t = 2^31", func(o *Order) { o.T = 1 << 31 }, false},
		{"one holder", func(o *Order) { o.Holders = nodes(1) }, false},
		{"no holders", func(o *Order) { o.Holders = nil }, false}, // R3
		{"17 holders", func(o *Order) { o.Holders = nodes(17) }, false},
		{"a holder twice", func(o *Order) { o.Holders[4] = "n1" }, false}, // R1
		{"a holder without a name", func(o *Order) { o.Holders[4] = "" }, false},
		{"a symmetric key of 9 holders", func(o *Order) { o.Purpose, o.T, o.Holders = PurposeEncrypt, 5, nodes(9) }, true},
		{"a symmetric key of 10 holders", func(o *Order) { o.Purpose, o.T, o.Holders = PurposeEncrypt, 5, nodes(10) }, false},
		{"no purpose", func(o *Order) { o.Purpose = "" }, false},
		{"an unknown purpose", func(o *Order) { o.Purpose = "sign" }, false}, // R16
		{"no name", func(o *Order) { o.Name = "" }, false},
		{"a name in upper case", func(o *Order) { o.Name = "Payroll" }, false}, // R22
		{"a root key with a name", func(o *Order) { o.Purpose = PurposeRoot }, false},
		{"phases without end", func(o *Order) { o.PhaseSeconds = MaxPhaseSecond + 1 }, false},
		{"phases of no length", func(o *Order) { o.PhaseSeconds = 0 }, false},
	} {
		o := w.order()
		row.alter(&o)
		if err := o.Check(); (err == nil) != row.ok || err != nil && !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	for n, want := range map[string]uint32{"n1": 1, "n5": 5, "n6": 0, "": 0} {
		if got := good.IndexOf(n); got != want {
			t.Errorf("the index of %q is %d", n, got)
		}
	}
}

// R15, R17: each field of a session changes its id.
func TestEachFieldOfASessionCounts(t *testing.T) {
	base := SessionID(api.ClusterID{1}, 1, api.Digest{2}, 1, api.Digest{3})
	seen := map[api.Digest]string{base: "itself"}
	for name, id := range map[string]api.Digest{
		"cluster": SessionID(api.ClusterID{9}, 1, api.Digest{2}, 1, api.Digest{3}),
		"roster":  SessionID(api.ClusterID{1}, 2, api.Digest{2}, 1, api.Digest{3}),
		"order":   SessionID(api.ClusterID{1}, 1, api.Digest{9}, 1, api.Digest{3}),
		"attempt": SessionID(api.ClusterID{1}, 1, api.Digest{2}, 2, api.Digest{3}),
		"link":    SessionID(api.ClusterID{1}, 1, api.Digest{2}, 1, api.Digest{9}),
		"swapped": SessionID(api.ClusterID{1}, 1, api.Digest{3}, 1, api.Digest{2}),
	} {
		if was, dup := seen[id]; dup {
			t.Errorf("%s gives the id of %s", name, was)
		}
		seen[id] = name
	}
	if KeyIDOf(base) == api.KeyID(base) {
		t.Error("a key id is its session's")
	}
}

func TestLines(t *testing.T) {
	w := newWorld(t)
	line := FormatNode(w.doc.Roster[0])
	n, err := ParseNode(line)
	if err != nil || FormatNode(n) != line || !strings.HasPrefix(line, "warifu-node-1 n1 jp-east ") {
		t.Fatalf("%s: %v", line, err)
	}
	if _, err := ParseNode("  " + line + "\n"); err != nil {
		t.Errorf("spaces around it, as a mail program leaves them: %v", err)
	}
	fields := strings.Fields(line)
	with := func(f func(*Node)) string {
		n := w.copied().Roster[0]
		f(&n)
		return FormatNode(n)
	}
	custodian := FormatCustodian(w.doc.Custodians[0])
	for name, bad := range map[string]string{
		"empty":                          "",
		"another word":                   "warifu-node-2 " + strings.Join(fields[1:], " "),
		"a custodian's":                  custodian,
		"another id for the reader":      strings.Join([]string{fields[0], "n2", fields[2], fields[3]}, " "),
		"another region for the reader":  strings.Join([]string{fields[0], fields[1], "sg", fields[3]}, " "),
		"a field more":                   line + " x",
		"a field less":                   strings.Join(fields[:3], " "),
		"truncated":                      line[:len(line)-3],
		"no base64":                      line + "!",
		"padded":                         line + "=",
		"far too long":                   line + strings.Repeat("A", 1<<20),
		"a claim of another key":         with(func(n *Node) { n.Key = w.doc.Roster[1].Key }),
		"a claim of another node":        with(func(n *Node) { n.Claim = w.doc.Roster[1].Claim }),
		"an address altered on its way":  with(func(n *Node) { n.Claim.Client = "b.example:1" }),
		"an id that writes to terminals": with(func(n *Node) { n.ID = "\x1b[2J"; n.Claim = w.claim(w.nodes[0], n.ID, 1) }),
		"a region in upper case":         with(func(n *Node) { n.Region = "JP" }),
	} {
		if _, err := ParseNode(bad); !errors.Is(err, ErrGenesis) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := ParseCustodian(custodian)
	if err != nil || FormatCustodian(c) != custodian {
		t.Fatalf("%s: %v", custodian, err)
	}
	wrong := func(f func(*Custodian)) string {
		c := w.copied().Custodians[0]
		f(&c)
		return FormatCustodian(c)
	}
	for name, bad := range map[string]string{
		"a node's":                  line,
		"another name to read":      strings.Replace(custodian, " custodian1 ", " custodian2 ", 1),
		"a key off the curve":       wrong(func(c *Custodian) { c.Sign[64] ^= 1 }),
		"a name in upper case":      wrong(func(c *Custodian) { c.Name = "Aki" }),
		"a byte after the encoding": custodian + "AA",
	} {
		if _, err := ParseCustodian(bad); !errors.Is(err, ErrGenesis) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSignedGenesis(f *testing.F) {
	w := newWorld(f)
	f.Add(w.signed(&w.doc, w.custodians...).Encode())
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, g, err := ParseSignedGenesis(b)
		if err != nil {
			if !errors.Is(err, ErrGenesis) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) || !bytes.Equal(wire.Encode(g), s.Body) {
			t.Fatal("a second encoding was read")
		}
		_, _ = s.Verify()
	})
}

func FuzzParseNode(f *testing.F) {
	w := newWorld(f)
	f.Add(FormatNode(w.doc.Roster[0]))
	f.Add("warifu-node-1 a b c")
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := ParseNode(line); err != nil && !errors.Is(err, ErrGenesis) {
			t.Fatal(err)
		}
	})
}

func FuzzParseCustodian(f *testing.F) {
	w := newWorld(f)
	f.Add(FormatCustodian(w.doc.Custodians[0]))
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := ParseCustodian(line); err != nil && !errors.Is(err, ErrGenesis) {
			t.Fatal(err)
		}
	})
}
