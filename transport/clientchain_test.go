package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
)

// ca is a client CA for tests.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCA(t testing.TB, name string) *ca {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-48 * time.Hour),
		NotAfter:              time.Now().Add(48 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return &ca{signed(t, template, template, &key.PublicKey, key), key}
}

func signed(t testing.TB, template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a good application certificate, after change had its way with it.
func (c *ca) issue(t testing.TB, uri string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "spiffe://example.org/admin"}, // never an identity
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		template.URIs = []*url.URL{mustURL(t, uri)}
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	leaf := signed(t, template, c.cert, &key.PublicKey, c.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

const shop = "spiffe://example.org/shop/web"

// R21
func TestVerifyClientChain(t *testing.T) {
	pinned, other := newCA(t, "pinned"), newCA(t, "pinned") // one name, two keys
	for _, c := range []struct {
		name   string
		by     *ca
		uri    string
		change func(*x509.Certificate)
		want   error
	}{
		{"a certificate as it should be is accepted", pinned, shop, nil, nil},
		{"another CA of the same name is refused", other, shop, nil, ErrUnknownCA},
		{"an expired certificate is refused", pinned, shop, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, ErrExpired},
		{"a certificate of tomorrow is refused", pinned, shop, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, ErrExpired},
		{"a certificate for servers is refused", pinned, shop, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, ErrNoClientAuth},
		{"a certificate for nothing in particular is refused", pinned, shop, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, ErrNoClientAuth},
		{"a certificate for anything is refused", pinned, shop, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, ErrNoClientAuth},
		{"a common name alone is refused", pinned, "", nil, ErrNoURI},
		{"two URIs are refused", pinned, shop, func(c *x509.Certificate) { c.URIs = append(c.URIs, mustURL(t, "spiffe://example.org/admin")) }, ErrNoURI},
		{"a web address is refused", pinned, "https://example.org/shop", nil, ErrNoURI},
		{"an unknown critical extension is refused", pinned, shop, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, ErrUnknownCA},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf := c.by.issue(t, c.uri, c.change).Leaf
			// A stranger may send any CA along: only the pinned ones count.
			for _, chain := range [][]*x509.Certificate{{leaf}, {leaf, c.by.cert}} {
				uri, err := VerifyClientChain(chain, []*x509.Certificate{pinned.cert}, time.Now())
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if want := map[bool]string{true: shop}[c.want == nil]; uri != want {
					t.Errorf("got the identity %q, want %q", uri, want)
				}
			}
		})
	}
	for name, chain := range map[string][]*x509.Certificate{
		"no certificate":        nil,
		"too many certificates": slices.Repeat([]*x509.Certificate{pinned.cert}, maxChain+1),
	} {
		if _, err := VerifyClientChain(chain, []*x509.Certificate{pinned.cert}, time.Now()); !errors.Is(err, ErrUnknownCA) {
			t.Errorf("%s: got %v, want %v", name, err, ErrUnknownCA)
		}
	}
	if _, err := VerifyClientChain([]*x509.Certificate{pinned.issue(t, shop, nil).Leaf}, nil, time.Now()); !errors.Is(err, ErrUnknownCA) {
		t.Errorf("without any pinned CA: got %v, want %v", err, ErrUnknownCA)
	}
	if _, err := VerifyClientChain([]*x509.Certificate{pinned.cert}, []*x509.Certificate{pinned.cert}, time.Now()); err == nil {
		t.Error("the CA itself was taken for an application")
	}
}

// R21
func TestSPIFFEID(t *testing.T) {
	for uri, ok := range map[string]bool{
		"spiffe://example.org/shop":                                       true,
		"spiffe://a/b/c-d_e.F/1":                                          true,
		"spiffe://example.org":                                            false,
		"spiffe://example.org/":                                           false,
		"spiffe:///shop":                                                  false,
		"spiffe://example.org//shop":                                      false,
		"spiffe://example.org/shop/":                                      false,
		"spiffe://example.org/./shop":                                     false,
		"spiffe://example.org/a/../shop":                                  false,
		"spiffe://Example.org/shop":                                       false,
		"spiffe://example.org:443/shop":                                   false,
		"spiffe://root@example.org/shop":                                  false,
		"spiffe://example.org/shop?x=1":                                   false,
		"spiffe://example.org/shop?":                                      false,
		"spiffe://example.org/shop#x":                                     false,
		"spiffe://example.org/sh%6Fp":                                     false,
		"spiffe://example.org/sh op":                                      false,
		"spiffe://example.org/shöp":                                       false,
		"spiffe:example.org/shop":                                         false,
		"http://example.org/shop":                                         false,
		"spiffe://example.org/" + strings.Repeat("a", api.MaxPrincipal):   false,
		"spiffe://example.org/" + strings.Repeat("a", api.MaxPrincipal/2): true,
	} {
		got, err := spiffeID(mustURL(t, uri))
		if ok && (err != nil || got != uri) {
			t.Errorf("%.60s: got %q and %v", uri, got, err)
		}
		if !ok && !errors.Is(err, ErrNoURI) {
			t.Errorf("%.60s: got %q and %v, want %v", uri, got, err, ErrNoURI)
		}
	}
}

// R21: what an application shows is a stranger's bytes.
func FuzzVerifyClientChain(f *testing.F) {
	pinned, other := newCA(f, "pinned"), newCA(f, "pinned")
	roots := []*x509.Certificate{pinned.cert}
	good := pinned.issue(f, shop, nil).Leaf
	f.Add(good.Raw, []byte(nil), int64(0))
	f.Add(good.Raw, pinned.cert.Raw, int64(1000))
	f.Add(other.issue(f, shop, nil).Leaf.Raw, other.cert.Raw, int64(0))
	f.Add(pinned.issue(f, "", nil).Leaf.Raw, good.Raw, int64(0))
	f.Fuzz(func(t *testing.T, leaf, above []byte, minutes int64) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{leaf, above} {
			if cert, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, cert)
			}
		}
		now := time.Now().Add(time.Duration(minutes%1e6) * time.Minute)
		uri, err := VerifyClientChain(chain, roots, now)
		if err != nil {
			if uri != "" || !slices.ContainsFunc([]error{ErrUnknownCA, ErrExpired, ErrNoClientAuth, ErrNoURI}, func(named error) bool { return errors.Is(err, named) }) {
				t.Fatalf("%q, unnamed error %v", uri, err)
			}
			return
		}
		// The pinned CA signed one certificate with a name, in each process anew.
		if uri != shop || now.Before(chain[0].NotBefore) || now.After(chain[0].NotAfter) || chain[0].CheckSignatureFrom(pinned.cert) != nil {
			t.Fatalf("%q is believed at %s", uri, now)
		}
	})
}

func FuzzSPIFFEID(f *testing.F) {
	f.Add(shop)
	f.Add("spiffe://root@example.org/%2e%2e?x#y")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		id, err := spiffeID(u)
		if err != nil {
			if !errors.Is(err, ErrNoURI) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		// The scheme has no case, and an empty fragment is none (RFC 3986).
		if again, err := spiffeID(mustURL(t, id)); err != nil || again != id || !strings.EqualFold(id, strings.TrimSuffix(text, "#")) {
			t.Fatalf("%q is the identity %q, and that is %q, %v", text, id, again, err)
		}
	})
}
