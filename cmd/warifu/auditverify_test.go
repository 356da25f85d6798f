package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
)

// audited DIR GENESIS NODE KEYFILE COUNT CHECKPOINT [SEGMENT]: the node's audit in
// DIR, which is made if need be, grows to COUNT records, in segments of SEGMENT
// bytes; its checkpoint is kept in CHECKPOINT, too.
func audited(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 6 || len(args) > 7 {
		ts.Fatalf("usage: audited DIR GENESIS NODE KEYFILE COUNT CHECKPOINT [SEGMENT]")
	}
	segment := 0
	if len(args) == 7 {
		var err error
		segment, err = strconv.Atoi(args[6])
		ts.Check(err)
	}
	_, g, err := authority.ParseSignedGenesis([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	parsed, err := x509.ParsePKCS8PrivateKey([]byte(ts.ReadFile(args[3])))
	ts.Check(err)
	key := parsed.(*ecdsa.PrivateKey)
	count, err := strconv.Atoi(args[4])
	ts.Check(err)
	l, err := audit.Open(audit.Config{
		Dir: ts.MkAbs(args[0]), Origin: "warifu/" + g.Cluster.String()[:16] + "/" + args[2], Public: &key.PublicKey,
		Signer: func(msg []byte) ([]byte, error) {
			sum := sha256.Sum256(msg)
			return ecdsa.SignASN1(rand.Reader, key, sum[:])
		},
		ReserveBytes: 4 << 10, SegmentBytes: int64(segment),
	})
	ts.Check(err)
	defer l.Close()
	for n := int(l.Size()); n < count; {
		var records []audit.Record
		for ; n < count && len(records) < 100; n++ {
			records = append(records, audit.Record{Time: int64(n) * 1000, Node: args[2], Kind: audit.Release, KeyName: "payroll", Count: uint64(n) + 1})
		}
		_, err = l.Append(context.Background(), records...)
		ts.Check(err)
	}
	signed, err := l.Checkpoint()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[5]), signed, 0o644))
}

// frames FILE flip|drop|double|swap|rewrite I: record I of a segment has a bit
// flipped, is taken out, put in twice, changed for the one after it, or altered with
// a hash that fits.
func frames(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: frames FILE flip|drop|double|swap|rewrite INDEX")
	}
	i, err := strconv.Atoi(args[2])
	ts.Check(err)
	const header, hash = 20, sha256.Size
	var all [][]byte
	for b := []byte(ts.ReadFile(args[0])); len(b) > 0; {
		n := header + int(binary.BigEndian.Uint32(b)) + hash
		all, b = append(all, b[:n:n]), b[n:]
	}
	switch args[1] {
	case "flip":
		all[i][header+5] ^= 1
	case "drop":
		all = slices.Delete(all, i, i+1)
	case "double":
		all = slices.Insert(all, i, all[i])
	case "swap":
		all[i], all[i+1] = all[i+1], all[i]
	case "rewrite":
		f := slices.Clone(all[i])
		body := f[header : len(f)-hash]
		r, err := audit.DecodeRecord(body)
		ts.Check(err)
		r.KeyName = "payrolL"
		other, err := audit.EncodeRecord(r)
		ts.Check(err)
		copy(body, other)
		sum := sha256.Sum256(append([]byte{0}, f[header-8:len(f)-hash]...)) // RFC 6962, section 2.1
		copy(f[len(f)-hash:], sum[:])
		all[i] = f
	default:
		ts.Fatalf("no damage is called %q", args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), slices.Concat(all...), 0o600))
}

// anchored FILE GENESIS NODE KEYFILE DIR: an anchor about the audit in DIR, signed
// with a key in the name of NODE.
func anchored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: anchored FILE GENESIS NODE KEYFILE DIR")
	}
	_, g, err := authority.ParseSignedGenesis([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	parsed, err := x509.ParsePKCS8PrivateKey([]byte(ts.ReadFile(args[3])))
	ts.Check(err)
	signer, err := authority.NewSigner(parsed.(*ecdsa.PrivateKey))
	ts.Check(err)
	var size uint64
	var root []byte
	lines := strings.Split(ts.ReadFile(filepath.Join(args[4], "checkpoint")), "\n")
	size, err = strconv.ParseUint(lines[1], 10, 64)
	ts.Check(err)
	root, err = base64.StdEncoding.DecodeString(lines[2])
	ts.Check(err)
	e, err := authority.SignStatement(rand.Reader, signer, g.Cluster, args[2], authority.KindAnchor, authority.Anchor{
		Counter: 1, Time: 1_700_000_000_000, AuditSize: size, AuditRoot: api.Digest(root),
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(base64.StdEncoding.EncodeToString(e.Encode())+"\n"), 0o644))
}
