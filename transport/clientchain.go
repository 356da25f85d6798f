package transport

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

var (
	// ErrUnknownCA: the certificate does not lead to a pinned CA.
	ErrUnknownCA = errors.New("the certificate is not from a client CA known here")
	// ErrExpired: the certificate, or one above it, is not valid at this time.
	ErrExpired = errors.New("the certificate is not valid at this time")
	// ErrNoClientAuth: the certificate is not for clients.
	ErrNoClientAuth = errors.New("the certificate is not for client authentication")
	// ErrNoURI: the certificate names its holder by anything but exactly one
	// SPIFFE URI.
	ErrNoURI = errors.New("the certificate does not have exactly one SPIFFE URI")
)

const (
	// maxChain bounds the certificates a client may show: leaf, two
	// intermediates, and the root some send along.
	maxChain = 4
	// maxSPIFFE is the longest SPIFFE ID (SPIFFE-ID, section 2.3).
	maxSPIFFE = 2048
)

// VerifyClientChain returns the identity in an application's certificate: the
// only URI in its subject alternative name, a SPIFFE ID "spiffe://trust/path".
// The chain is as TLS received it, leaf first; roots are the pinned CAs. A
// common name is never an identity.
//
// It fails with [ErrUnknownCA], [ErrExpired], [ErrNoClientAuth] or [ErrNoURI].
// It trusts TLS for the possession of the leaf's key, and its caller for
// revocation.
func VerifyClientChain(chain, roots []*x509.Certificate, now time.Time) (uri string, err error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return "", fmt.Errorf("%w: %d certificates, from 1 to %d are read", ErrUnknownCA, len(chain), maxChain)
	}
	leaf := chain[0]
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, root := range roots {
		opts.Roots.AddCert(root)
	}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := leaf.Verify(opts); err != nil {
		var invalid x509.CertificateInvalidError
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			return "", fmt.Errorf("%w: %w", ErrExpired, err)
		case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
			return "", fmt.Errorf("%w: %w", ErrNoClientAuth, err)
		}
		return "", fmt.Errorf("%w: %w", ErrUnknownCA, err)
	}
	// To x509 a certificate without any extended key usage is for all of them.
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return "", ErrNoClientAuth
	}
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("%w: it has %d", ErrNoURI, len(leaf.URIs))
	}
	return spiffeID(leaf.URIs[0])
}

// spiffeID returns u as text if it is a SPIFFE ID of a workload (SPIFFE-ID,
// section 2): scheme, trust domain and path of plain segments, nothing else. So
// one identity has one spelling.
func spiffeID(u *url.URL) (string, error) {
	const (
		domainRunes  = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
		segmentRunes = domainRunes + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	)
	made := func(s, of string) bool { return s != "" && strings.Trim(s, of) == "" }
	uri := u.String()
	ok := len(uri) <= maxSPIFFE && u.Scheme == "spiffe" && made(u.Host, domainRunes) &&
		uri == "spiffe://"+u.Host+u.Path && strings.HasPrefix(u.Path, "/")
	if ok {
		for segment := range strings.SplitSeq(u.Path[1:], "/") {
			ok = ok && made(segment, segmentRunes) && segment != "." && segment != ".."
		}
	}
	if !ok {
		return "", fmt.Errorf("%w: %.100q is not a SPIFFE ID", ErrNoURI, uri)
	}
	return uri, nil
}
