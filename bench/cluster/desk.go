package cluster

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/sharing/custodian"
)

// Lives of what is signed here; no cluster of this package lives as long.
const (
	certificateLife = 24 * time.Hour
	changeLife      = 4 * time.Hour
	backdate        = 5 * time.Minute
)

// desk is where the custodians sit, and the authority of the applications.
type desk struct {
	custodians []*custodian.Custodian
	signers    []*authority.Signer
	required   int

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey

	mu       sync.Mutex
	policies api.Digest // id of the last change of the policy; guarded by mu
}

// bear makes the custodians and the genesis document that they sign.
func (c *Cluster) bear() error {
	d := &desk{required: c.cfg.Required}
	g := authority.Genesis{Format: authority.GenesisFormat, Created: time.Now().UnixMilli(), Unseal: authority.UnsealHSM}
	if c.cfg.Sealed {
		g.Unseal, g.UnsealCount = authority.UnsealCustodians, uint32(c.cfg.Required)
	}
	rand.Read(g.Cluster[:])
	for i := range c.cfg.Custodians {
		var cust *custodian.Custodian
		if i < len(c.cfg.Keys) {
			cust = c.cfg.Keys[i]
		}
		if cust == nil {
			var err error
			if cust, err = custodian.Create(rand.Reader, fmt.Sprintf("custodian-%d", i+1)); err != nil {
				return err
			}
		}
		signer, err := authority.NewSigner(cust.SignKey())
		if err != nil {
			return err
		}
		d.custodians, d.signers = append(d.custodians, cust), append(d.signers, signer)
		name, sign, open := cust.Public()
		g.Custodians = append(g.Custodians, authority.Custodian{Name: name, Sign: sign, Open: open})
	}
	for _, kind := range authority.ChangeKinds() {
		count := c.cfg.Required
		if kind == authority.KindSeal {
			count = 1 // as warifu genesis new has it: a seal only stops releases
		}
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: uint32(count)})
	}
	for _, id := range c.IDs() {
		g.Roster = append(g.Roster, c.at(id).line)
	}
	g.Root = authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: uint32(c.cfg.T), F: uint32(c.cfg.F),
		Holders: c.IDs(), PhaseSeconds: uint32(c.cfg.PhaseSeconds),
	}
	if err := g.Check(); err != nil {
		return err
	}
	s := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, signer := range d.signers[:d.required] {
		if err := s.Sign(rand.Reader, signer); err != nil {
			return err
		}
	}
	var err error
	c.desk = d
	if c.genesis, err = s.Verify(); err != nil {
		return err
	}
	c.known = authority.Begin(c.genesis)
	return nil
}

// CustodianKeys are the private keys of all custodians.
func (c *Cluster) CustodianKeys() []*custodian.Custodian { return c.desk.custodians }

// Sign makes a change that enough custodians have signed: all of them, if it destroys a
// key.
func (c *Cluster) Sign(kind string, body []byte, base api.Digest) (*authority.Entry, error) {
	change := authority.Change{
		Cluster: c.genesis.Cluster, Kind: kind, Body: body, Base: base, NotAfter: time.Now().Add(changeLife).UnixMilli(),
	}
	rand.Read(change.Nonce[:])
	e := authority.NewChange(change)
	signers := c.desk.signers[:c.desk.required]
	if kind == authority.KindKeyDestroy { // at once, if all say so
		signers = c.desk.signers
	}
	for _, s := range signers {
		if err := authority.SignChange(rand.Reader, e, s); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Submit hands in a change that enough custodians sign, and returns its id.
func (c *Cluster) Submit(ctx context.Context, kind string, body []byte, base api.Digest) (api.Digest, error) {
	e, err := c.Sign(kind, body, base)
	if err != nil {
		return api.Digest{}, err
	}
	carrier, err := c.Custodian()
	if err != nil {
		return api.Digest{}, err
	}
	defer carrier.Close()
	if _, err := carrier.Submit(ctx, e.Encode()); err != nil {
		return api.Digest{}, fmt.Errorf("submit a change of the kind %s: %w", kind, err)
	}
	return e.ID(), nil
}

// PutPolicy puts a policy in the place of the last one that was put here.
func (c *Cluster) PutPolicy(ctx context.Context, d policy.Document) error {
	c.desk.mu.Lock()
	defer c.desk.mu.Unlock()
	id, err := c.Submit(ctx, authority.KindPolicy, d.Encode(), c.desk.policies)
	if err == nil {
		c.desk.policies = id
	}
	return err
}

// PutCA makes an authority for applications, once, and makes the cluster know it.
func (c *Cluster) PutCA(ctx context.Context) error {
	if c.desk.ca != nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "trial"},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if _, err := c.Submit(ctx, authority.KindCA, wire.Encode(authority.CA{Name: "trial", Certificate: der}), api.Digest{}); err != nil {
		return err
	}
	c.desk.ca, c.desk.caKey = ca, key
	return nil
}

// OrderKey submits the order of a key and does not wait for its birth.
func (c *Cluster) OrderKey(ctx context.Context, name string, phaseSeconds int) error {
	return c.order(ctx, name, authority.PurposeUnwrap, phaseSeconds)
}

func (c *Cluster) order(ctx context.Context, name, purpose string, phaseSeconds int) error {
	order := authority.Order{
		Cluster: c.genesis.Cluster, Purpose: purpose, Name: name, T: uint32(c.cfg.T), F: uint32(c.cfg.F),
		Holders: c.IDs(), PhaseSeconds: uint32(phaseSeconds),
	}
	_, err := c.Submit(ctx, authority.KindKey, wire.Encode(order), api.Digest{})
	return err
}

// CreateKey orders a key and returns it when it is born.
func (c *Cluster) CreateKey(ctx context.Context, name string) (*client.Key, error) {
	key, err := c.create(ctx, name, authority.PurposeUnwrap)
	if err == nil {
		c.key = key
	}
	return key, err
}

// CreateSymmetricKey orders a key that encrypts by quorum, and returns it when it is born.
func (c *Cluster) CreateSymmetricKey(ctx context.Context, name string) (*client.Key, error) {
	return c.create(ctx, name, authority.PurposeEncrypt)
}

func (c *Cluster) create(ctx context.Context, name, purpose string) (*client.Key, error) {
	if err := c.order(ctx, name, purpose, c.cfg.PhaseSeconds); err != nil {
		return nil, err
	}
	asks, err := c.Custodian()
	if err != nil {
		return nil, err
	}
	defer asks.Close()
	return asks.WaitKey(ctx, name)
}

// AppURI is the application that [Cluster.Permit] permits everything.
const AppURI = "spiffe://trial/app"

// Furnish permits applications what [Cluster.Permit] does, and gives the cluster a key.
func (c *Cluster) Furnish(ctx context.Context, key string) (*client.Key, error) {
	if err := c.Permit(ctx); err != nil {
		return nil, err
	}
	return c.CreateKey(ctx, key)
}

// Permit gives the cluster an authority for applications, and a policy that lets [AppURI]
// unwrap and encrypt with every key.
func (c *Cluster) Permit(ctx context.Context) error {
	if err := c.PutCA(ctx); err != nil {
		return err
	}
	return c.PutPolicy(ctx, policy.Document{
		Format: policy.Format,
		Text:   `@id("apps") permit (principal in Warifu::Group::"apps", action in [Warifu::Action::"unwrap", Warifu::Action::"encrypt"], resource);`,
		Entities: `[{"uid": {"type": "Warifu::Principal", "id": "` + AppURI + `"},
			"parents": [{"type": "Warifu::Group", "id": "apps"}], "attrs": {}}]`,
	})
}

// NewIdentity makes an application's certificate under the authority of PutCA.
func (c *Cluster) NewIdentity(uri string) (tls.Certificate, error) {
	name, err := url.Parse(uri)
	if err != nil {
		return tls.Certificate{}, err
	}
	if c.desk.ca == nil {
		return tls.Certificate{}, errors.New("cluster: PutCA comes before NewIdentity")
	}
	return certify(&x509.Certificate{URIs: []*url.URL{name}}, nil, c.desk.ca, c.desk.caKey)
}

// Client makes a client that shows a certificate, and knows the roster of now. The
// caller closes it.
func (c *Cluster) Client(cert tls.Certificate) (*client.Client, error) {
	return client.New(client.Config{Genesis: c.genesis, Known: c.roster(), Certificate: cert, Log: c.cfg.Log, Timeout: c.cfg.ClientTimeout})
}

// Unseal has as many custodians as are required hand their pieces to every node
// that waits for them, once: a node that is away, or dies, waits for the next time.
func (c *Cluster) Unseal(ctx context.Context) error {
	for _, who := range c.desk.custodians[:c.desk.required] {
		cert, err := certificateOf(who)
		if err != nil {
			return err
		}
		asks, err := c.Client(cert)
		if err != nil {
			return err
		}
		for _, s := range asks.Seals(ctx) {
			if s.Err == nil && s.Offer.Locked && s.Offer.Place > 0 && !slices.Contains(s.Offer.Have, who.Name()) {
				if _, err := asks.HandOver(ctx, s.Offer, int(s.Offer.Place)-1, who.OpenKey()); err != nil {
					c.cfg.Log.Info("a piece is not taken", "node", s.Node, "error", err)
				}
			}
		}
		asks.Close()
	}
	return nil
}

// certificate is the first custodian's.
func (d *desk) certificate() (tls.Certificate, error) { return certificateOf(d.custodians[0]) }

// certificateOf is a self-signed one of a custodian's key.
func certificateOf(c *custodian.Custodian) (tls.Certificate, error) {
	return certify(&x509.Certificate{Subject: pkix.Name{CommonName: c.Name()}}, c.SignKey(), nil, nil)
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
