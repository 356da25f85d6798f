package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"path/filepath"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// Files of a trial CA's directory.
const (
	caCert = "ca.crt"
	caKey  = "ca.key"
)

// Kinds of PEM blocks.
const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY" // PKCS #8
)

// backdate lets certificates be valid on machines whose clocks are a little behind.
const backdate = 5 * time.Minute

func (a *app) caCommand() *cobra.Command {
	return group("ca", "Make a trial certificate authority, and make a cluster know one",
		"Applications show certificates of an authority that the ledger names. `ca new` makes\none for trials; in production bring your own.",
		"  warifu ca new trial-ca\n  warifu ca put trial-ca/ca.crt --name trial --out ca.change",
		a.caNewCommand(), a.caPutCommand())
}

func (a *app) caNewCommand() *cobra.Command {
	var days int
	var name string
	c := &cobra.Command{
		Use:     "new DIR",
		Short:   "Make a certificate authority for trials",
		Long:    "Makes DIR with a certificate authority for trials: ca.crt, and its key ca.key (mode 0600).",
		Example: "  warifu ca new trial-ca",
		Args:    exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if days < 1 {
				return fail(exitUsage, "--days is at least 1")
			}
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			serial, err := newSerial()
			if err != nil {
				return err
			}
			template := &x509.Certificate{
				SerialNumber: serial, Subject: pkix.Name{CommonName: name},
				NotBefore: now().Add(-backdate), NotAfter: now().AddDate(0, 0, days),
				IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
				KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				return fmt.Errorf("make a certificate: %w", err)
			}
			if err := makeDir(args[0]); err != nil {
				return err
			}
			return a.writePair(der, key, filepath.Join(args[0], caCert), filepath.Join(args[0], caKey))
		},
	}
	c.Flags().IntVar(&days, "days", 3650, "how long it is valid")
	c.Flags().StringVar(&name, "name", "warifu trial CA", "its common name")
	return c
}

// writePair writes a certificate and its key, or neither.
func (a *app) writePair(der []byte, key *ecdsa.PrivateKey, certFile, keyFile string) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: private})
	defer clear(private)
	defer clear(text)
	if err := mustNotExist(certFile); err != nil {
		return err
	}
	if err := writeNew(keyFile, modeSecret, text); err != nil {
		return err
	}
	if err := writeNew(certFile, modePublic, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})); err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	v := struct {
		Certificate string `json:"certificate"`
		Key         string `json:"key"`
		NotAfter    string `json:"not_after"`
		SHA256      string `json:"sha256"`
	}{certFile, keyFile, instant(cert.NotAfter.UnixMilli()), fmt.Sprintf("%x", sha256.Sum256(der))}
	return a.show(v, func(w io.Writer) {
		facts(w, "certificate", v.Certificate, "key", v.Key+" (secret)", "valid to", v.NotAfter, "sha256", v.SHA256)
	})
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func (a *app) caPutCommand() *cobra.Command {
	var f changeFlags
	var name, base string
	c := &cobra.Command{
		Use:   "put CERT --name NAME --out FILE.change",
		Short: "Write a change that makes the cluster know a certificate authority",
		Long: `Writes a change that makes the cluster know a certificate authority, for
custodians to sign. Whoever holds its key can make certificates that the policy
may then permit things to. To replace the authority of the same name, give --base
with the id of the change that put it.`,
		Example: "  warifu ca put trial-ca/ca.crt --name trial --out ca.change",
		Args:    exactly("CERT"),
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			if err := misused("--name", api.CheckName(name)); err != nil {
				return err
			}
			replaces, err := baseFlag(base, nil)
			if err != nil {
				return err
			}
			cert, err := readCertificate(args[0])
			switch {
			case err != nil:
				return err
			case !cert.IsCA || !cert.BasicConstraintsValid:
				return fail(exitInput, "%s is a certificate of %q, not of an authority", args[0], cert.Subject)
			case now().After(cert.NotAfter):
				return fail(exitInput, "%s expired on %s", args[0], instant(cert.NotAfter.UnixMilli()))
			case len(cert.Raw) > authority.MaxCertificate:
				return fail(exitInput, "%s has %d bytes, at most %d are taken", args[0], len(cert.Raw), authority.MaxCertificate)
			}
			return f.write(a, g, authority.KindCA, wire.Encode(authority.CA{Name: name, Certificate: cert.Raw}), replaces)
		},
	}
	f.add(a, c)
	c.Flags().StringVar(&name, "name", "", "name of the authority in this cluster")
	c.Flags().StringVar(&base, "base", "none", "id of the change this replaces, or none")
	required(c, "name")
	return c
}

// readCertificate reads the one certificate in a file, PEM or DER.
func readCertificate(name string) (*x509.Certificate, error) {
	b, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	der := b
	if block, rest := pem.Decode(b); block != nil {
		if block.Type != pemCertificate || len(bytes.TrimSpace(rest)) != 0 {
			return nil, fail(exitInput, "%s must hold one certificate and nothing else", name)
		}
		der = block.Bytes
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fail(exitInput, "%s is not a certificate: %w", name, err)
	}
	return cert, nil
}
