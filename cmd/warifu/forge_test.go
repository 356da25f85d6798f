//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	p256 "warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// forge KIND FILE: FILE becomes a change that orders a key and that the commands
// would not make: "twice" is signed twice by one custodian, "expired" was good
// until a minute ago.
func (w *world) forge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: forge twice|expired FILE")
	}
	g := w.cluster.Genesis()
	order := authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeUnwrap, Name: "forged-" + args[0], T: g.Root.T, F: g.Root.F,
		Holders: g.Root.Holders, PhaseSeconds: g.Root.PhaseSeconds,
	}
	c := authority.Change{Cluster: g.Cluster, Kind: authority.KindKey, Body: wire.Encode(order), NotAfter: time.Now().Add(time.Hour).UnixMilli()}
	_, _ = rand.Read(c.Nonce[:])
	custodians := w.cluster.CustodianKeys()
	sign := func(c authority.Change, i int) *authority.Entry {
		signer, err := authority.NewSigner(custodians[i].SignKey())
		ts.Check(err)
		e := authority.NewChange(c)
		ts.Check(authority.SignChange(rand.Reader, e, signer))
		return e
	}
	other := 1
	switch args[0] {
	case "twice":
		other = 0
	case "expired":
		c.NotAfter = time.Now().Add(-time.Minute).UnixMilli()
	default:
		ts.Fatalf("no such kind: %s", args[0])
	}
	e := sign(c, 0)
	e.Signatures = append(e.Signatures, sign(c, other).Signatures...)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), e.Encode(), 0o600))
}

// foreign KIND FILE: FILE becomes a good envelope of a key that nobody holds, in
// this cluster ("key") or in another ("cluster").
func (w *world) foreign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: foreign key|cluster FILE")
	}
	var key, cluster [32]byte
	_, _ = rand.Read(key[:])
	switch args[0] {
	case "key":
		cluster = w.cluster.Genesis().Cluster
	case "cluster":
		_, _ = rand.Read(cluster[:])
	default:
		ts.Fatalf("no such kind: %s", args[0])
	}
	x, err := p256.RandomScalar(rand.Reader)
	ts.Check(err)
	public, err := tdh2.NewPublicKey(cluster, key, 1, 3, 5, p256.BaseMul(x))
	ts.Check(err)
	envelope, err := tdh2.Wrap(rand.Reader, public, api.Context{}.Canonical(), secret.New(make([]byte, 32)))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), envelope, 0o600))
}

// cert FLAW HOME: HOME becomes a client's home with a certificate of the
// application under the cluster's authority that has one flaw.
func (w *world) cert(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cert none|no-uri|two-uris|no-spiffe|no-usage|server HOME")
	}
	app := &url.URL{Scheme: "spiffe", Host: "trial", Path: "/app"}
	serial, err := newSerial()
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{app}, NotBefore: now().Add(-backdate), NotAfter: now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	switch args[0] {
	case "none":
	case "no-uri":
		template.URIs, template.DNSNames, template.Subject.CommonName = nil, []string{"app.trial"}, app.String()
	case "two-uris":
		template.URIs = append(template.URIs, &url.URL{Scheme: "spiffe", Host: "trial", Path: "/operator"})
	case "no-spiffe":
		template.URIs = []*url.URL{{Scheme: "https", Host: "trial", Path: "/app"}}
	case "no-usage":
		template.ExtKeyUsage = nil
	case "server":
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	default:
		ts.Fatalf("no such flaw: %s", args[0])
	}
	parent, err := tls.LoadX509KeyPair(w.path("ca/ca.crt"), w.path("ca/ca.key"))
	ts.Check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Leaf, key.Public(), parent.PrivateKey)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	home := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(home, 0o700))
	crt, secretKey := filepath.Join(home, "made.crt"), filepath.Join(home, "made.key")
	ts.Check(os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), 0o644))
	ts.Check(os.WriteFile(secretKey, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: private}), 0o600))
	ts.Check(ts.Exec("warifu", "client", "init", "--home", home, "--genesis", w.path("genesis"),
		"--hash", w.cluster.Genesis().Signed().Hash().String(), "--cert", crt, "--key", secretKey))
}
