package transport

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"warifu.dev/api"
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

// maxChain bounds the certificates a client may show: leaf, two intermediates,
// and the root some send along.
const maxChain = 4

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

// spiffeID returns u as text if it is a SPIFFE ID of a workload.
func spiffeID(u *url.URL) (string, error) {
	uri := u.String()
	if err := api.CheckPrincipal(uri); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoURI, err)
	}
	return uri, nil
}
