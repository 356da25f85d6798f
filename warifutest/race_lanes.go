package warifutest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	insecure "math/rand/v2"
	"net/url"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// laneKinds is the order in which lanes are made.
var laneKinds = []string{authority.SubjectPrincipal, authority.SubjectCertificate, authority.SubjectKey, authority.SubjectCA}

// furnish puts two authorities, a policy and the keys of the lanes in place, and
// makes the lanes. done closes what was opened.
func (r *race) furnish(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, furnishTime)
	defer cancel()
	var closers []func()
	done = func() {
		for _, end := range closers {
			end()
		}
	}
	asks, err := r.Custodian()
	if err != nil {
		return done, err
	}
	closers = append(closers, asks.Close)
	put := func(kind string, body []byte, base api.Digest) error {
		e, err := r.Sign(kind, body, base)
		if err == nil {
			_, err = asks.Submit(ctx, e.Encode())
		}
		return err
	}
	authorityOf := func(name string) (*issuer, error) {
		ca, err := newIssuer(name)
		if err != nil {
			return nil, err
		}
		return ca, put(authority.KindCA, wire.Encode(authority.CA{Name: name, Certificate: ca.cert.Raw}), api.Digest{})
	}
	stays, err := authorityOf("stays")
	if err != nil {
		return done, err
	}
	var members []string
	for _, kind := range laneKinds {
		for i := range r.Lanes[kind] {
			l := &lane{name: fmt.Sprintf("%s-%d", kind, i)}
			l.random = insecure.New(insecure.NewPCG(r.Seed, uint64(len(r.lanes))))
			r.lanes = append(r.lanes, l)
			uri := "spiffe://race/" + l.name
			members = append(members, fmt.Sprintf(`{"uid": {"type": "Warifu::Principal", "id": %q}, "parents": [{"type": "Warifu::Group", "id": "racers"}], "attrs": {}}`, uri))
			key, ca := r.Key, stays
			l.subject = authority.Subject{Kind: kind}
			switch kind {
			case authority.SubjectPrincipal:
				l.subject.Name = uri
			case authority.SubjectKey:
				if key, err = r.bear(ctx, asks, l.name); err != nil {
					return done, err
				}
				l.subject.Name = key.ID().String()
			case authority.SubjectCA:
				if ca, err = authorityOf(l.name); err != nil {
					return done, err
				}
				l.subject.Name = l.name
			}
			cert, err := ca.issue(uri)
			if err != nil {
				return done, err
			}
			if kind == authority.SubjectCertificate {
				leaf, err := x509.ParseCertificate(cert.Certificate[0])
				if err != nil {
					return done, err
				}
				l.subject.Name = authority.SPKIHash(leaf.RawSubjectPublicKeyInfo).String()
			}
			carries, err := stays.issue("spiffe://race/carrier-of-" + l.name)
			if err != nil {
				return done, err
			}
			l.direct, l.carrier = NewDirect(r.Genesis(), cert, r.Open), NewDirect(r.Genesis(), carries, r.Open)
			closers = append(closers, l.direct.Close, l.carrier.Close)
			if l.client, err = r.Client(cert); err != nil {
				return done, err
			}
			closers = append(closers, l.client.Close)
			l.client.Use(key)
			var dek [32]byte
			rand.Read(dek[:])
			if l.envelope, err = key.Wrap(rand.Reader, nil, secret.New(dek[:])); err != nil {
				return done, err
			}
		}
	}
	return done, put(authority.KindPolicy, policy.Document{
		Format:   policy.Format,
		Text:     `@id("racers") permit (principal in Warifu::Group::"racers", action == Warifu::Action::"unwrap", resource);`,
		Entities: "[" + strings.Join(members, ",") + "]",
	}.Encode(), r.Base)
}

// bear has a key born that may be revoked.
func (r *race) bear(ctx context.Context, asks *client.Client, name string) (*client.Key, error) {
	e, err := r.Sign(authority.KindKey, wire.Encode(authority.Order{
		Cluster: r.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: Threshold, F: faulty,
		Holders: r.IDs(), PhaseSeconds: 30,
	}), api.Digest{})
	if err != nil {
		return nil, err
	}
	if _, err := asks.Submit(ctx, e.Encode()); err != nil {
		return nil, err
	}
	return asks.WaitKey(ctx, name)
}

// issuer is an authority for applications.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(name string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &issuer{cert, key}, err
}

func (i *issuer) issue(uri string) (tls.Certificate, error) {
	name, err := url.Parse(uri)
	if err != nil {
		return tls.Certificate{}, err
	}
	return certify(&x509.Certificate{URIs: []*url.URL{name}}, nil, i.cert, i.key)
}
