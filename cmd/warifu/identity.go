package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) identityCommand() *cobra.Command {
	return group("identity", "Make a certificate for an application, under a trial CA",
		"An application calls the cluster with a certificate whose one SPIFFE URI is its name\nin the policy.",
		"  warifu identity new --ca trial-ca --uri spiffe://example.org/app --out app",
		a.identityNewCommand())
}

func (a *app) identityNewCommand() *cobra.Command {
	var ca, uri, out, notAfter string
	var hours int
	c := &cobra.Command{
		Use:   "new --ca DIR --uri spiffe://DOMAIN/PATH --out PREFIX",
		Short: "Make an application's certificate and key",
		Long: `Makes an application's key and a certificate for it, under a trial CA made by
warifu ca new. They are written to PREFIX.crt and PREFIX.key (mode 0600), or into
PREFIX as identity.crt and identity.key if that is a directory.`,
		Example: "  warifu identity new --ca trial-ca --uri spiffe://example.org/app --hours 24 --out app",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			name, err := parseSPIFFE(uri)
			if err != nil {
				return err
			}
			if hours < 1 {
				return fail(exitUsage, "--hours is at least 1; a certificate of the past is made with --not-after")
			}
			until := now().Add(time.Duration(hours) * time.Hour)
			if notAfter != "" {
				if until, err = time.Parse(time.RFC3339, notAfter); err != nil {
					return fail(exitUsage, "--not-after is a time like 2026-11-30T12:00:00Z, not %q", notAfter)
				}
			}
			from := now().Add(-backdate)
			if until.Before(from) {
				from = until.Add(-time.Hour)
			}
			parent, err := readIdentity(filepath.Join(ca, caCert), filepath.Join(ca, caKey))
			if err != nil {
				return fmt.Errorf("the CA in %s: %w", ca, err)
			}
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			serial, err := newSerial()
			if err != nil {
				return err
			}
			der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber: serial, URIs: []*url.URL{name}, NotBefore: from, NotAfter: until,
				KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				BasicConstraintsValid: true,
			}, parent.Leaf, key.Public(), parent.PrivateKey)
			if err != nil {
				return fmt.Errorf("make a certificate under %s: %w", ca, err)
			}
			prefix := out
			if info, err := os.Stat(out); err == nil && info.IsDir() {
				prefix = filepath.Join(out, "identity")
			}
			return a.writePair(der, key, prefix+".crt", prefix+".key")
		},
	}
	f := c.Flags()
	f.StringVar(&ca, "ca", "", "directory of the trial CA")
	f.StringVar(&uri, "uri", "", "the application's name, a SPIFFE URI")
	f.StringVar(&out, "out", "", "prefix of the files to write, or a directory")
	f.IntVar(&hours, "hours", 90*24, "how long it is valid")
	f.StringVar(&notAfter, "not-after", "", "until when it is valid, RFC 3339 (in place of --hours)")
	required(c, "ca", "uri", "out")
	c.MarkFlagsMutuallyExclusive("hours", "not-after")
	return c
}

// parseSPIFFE takes the form of a workload's SPIFFE ID: scheme, trust domain and
// path, and nothing else. The nodes check the characters.
func parseSPIFFE(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "spiffe" || u.Host == "" || len(u.Path) < 2 || u.String() != "spiffe://"+u.Host+u.Path || u.String() != s {
		return nil, fail(exitUsage, "--uri is of the form spiffe://trust.domain/path, not %q", s)
	}
	return u, nil
}
