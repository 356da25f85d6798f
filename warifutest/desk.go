package warifutest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"
)

// Lives of what is signed here; no cluster of a test lives as long.
const (
	certificateLife = 24 * time.Hour
	changeLife      = 4 * time.Hour
	backdate        = 5 * time.Minute
)

// Desk is where the custodians sit, and the authority of the applications. It
// holds keys and no connection.
type Desk struct {
	cluster    api.ClusterID
	custodians []*custodian.Custodian
	signers    []*authority.Signer
	required   int
	ca         *x509.Certificate
	caKey      *ecdsa.PrivateKey
}

// newDesk makes the custodians and the authority of the applications.
func newDesk(custodians, required int) (*Desk, error) {
	d, err := seated("custodian", custodians, required)
	if err != nil {
		return nil, err
	}
	if d.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, d.caKey.Public(), d.caKey)
	if err != nil {
		return nil, err
	}
	d.ca, err = x509.ParseCertificate(der)
	return d, err
}

// seated is a desk with so many new custodians, and no authority of applications.
func seated(called string, custodians, required int) (*Desk, error) {
	d := &Desk{required: required}
	for i := range custodians {
		c, err := custodian.Create(rand.Reader, fmt.Sprintf("%s-%d", called, i+1))
		if err != nil {
			return nil, err
		}
		signer, err := authority.NewSigner(c.SignKey())
		if err != nil {
			return nil, err
		}
		d.custodians, d.signers = append(d.custodians, c), append(d.signers, signer)
	}
	return d, nil
}

// Succeed makes the change that puts other custodians in the place of these, as many
// and with the same counts, and the desk where they sit. base is the last such change.
// Where they open seals, unsealCount of them do; else it is 0.
func (d *Desk) Succeed(unsealCount uint32, base api.Digest) (*Desk, *authority.Entry, error) {
	next, err := seated("successor", len(d.custodians), d.required)
	if err != nil {
		return nil, nil, err
	}
	next.cluster = d.cluster
	by := authority.Custody{Custodians: next.public(), UnsealCount: unsealCount}
	for _, kind := range authority.ChangeKinds() {
		by.Required = append(by.Required, authority.RequiredCount{Kind: kind, Count: uint32(d.required)})
	}
	e, err := d.Sign(authority.KindCustodians, wire.Encode(by), base)
	return next, e, err
}

// public is what genesis, or a replacement, says of the custodians.
func (d *Desk) public() (out []authority.Custodian) {
	for _, c := range d.custodians {
		name, sign, open := c.Public()
		out = append(out, authority.Custodian{Name: name, Sign: sign, Open: open})
	}
	return out
}

// genesis makes the document that the custodians sign, for these nodes.
func (d *Desk) genesis(roster []authority.Node, t, f, phaseSeconds int, sealed bool) (*authority.VerifiedGenesis, error) {
	g := authority.Genesis{Format: authority.GenesisFormat, Created: time.Now().UnixMilli(), Unseal: authority.UnsealHSM, Roster: roster}
	if sealed {
		g.Unseal, g.UnsealCount = authority.UnsealCustodians, uint32(d.required)
	}
	rand.Read(g.Cluster[:])
	g.Custodians = d.public()
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: uint32(d.required)})
	}
	g.Root = authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: uint32(t), F: uint32(f), PhaseSeconds: uint32(phaseSeconds),
	}
	for _, n := range roster {
		g.Root.Holders = append(g.Root.Holders, n.ID)
	}
	if err := g.Check(); err != nil {
		return nil, err
	}
	s := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, signer := range d.signers[:d.required] {
		if err := s.Sign(rand.Reader, signer); err != nil {
			return nil, err
		}
	}
	d.cluster = g.Cluster
	return s.Verify()
}

// Custodians are the keys of all custodians.
func (d *Desk) Custodians() []*custodian.Custodian { return d.custodians }

// Sign makes a change that enough custodians have signed.
func (d *Desk) Sign(kind string, body []byte, base api.Digest) (*authority.Entry, error) {
	change := authority.Change{
		Cluster: d.cluster, Kind: kind, Body: body, Base: base, NotAfter: time.Now().Add(changeLife).UnixMilli(),
	}
	rand.Read(change.Nonce[:])
	e := authority.NewChange(change)
	signers := d.signers[:d.required]
	if kind == authority.KindKeyDestroy {
		signers = d.signers // so that it need not wait
	}
	for _, s := range signers {
		if err := authority.SignChange(rand.Reader, e, s); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Application makes the certificate of an application, by its SPIFFE ID.
func (d *Desk) Application(uri string) (tls.Certificate, error) {
	name, err := url.Parse(uri)
	if err != nil {
		return tls.Certificate{}, err
	}
	return certify(&x509.Certificate{URIs: []*url.URL{name}}, nil, d.ca, d.caKey)
}

// Custodian makes the certificate of a custodian, by place, signed by itself.
func (d *Desk) Custodian(place int) (tls.Certificate, error) {
	name, _, _ := d.custodians[place].Public()
	return certify(&x509.Certificate{Subject: pkix.Name{CommonName: name}}, d.custodians[place].SignKey(), nil, nil)
}

// certify makes a client certificate for key, or a new key if that is nil, under
// ca, or itself if that is nil.
func certify(template *x509.Certificate, key crypto.Signer, ca *x509.Certificate, caKey crypto.Signer) (tls.Certificate, error) {
	if key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		key = made
	}
	var serial [16]byte
	rand.Read(serial[:])
	template.SerialNumber = new(big.Int).SetBytes(bytes.TrimLeft(serial[1:], "\x00"))
	template.NotBefore, template.NotAfter = time.Now().Add(-backdate), time.Now().Add(certificateLife)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.BasicConstraintsValid = true
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
