package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

// callTimeout is how long an online verb waits, unless it is told. Only tests change it.
var callTimeout = client.DefaultTimeout

// caller is as whom an online verb calls, and how long it waits.
type caller struct {
	custodianFile  string
	passphraseFile string
	timeout        time.Duration

	certificate *tls.Certificate // the custodian's, once it was opened to call
}

// addCallerFlags adds the flags of every verb that may call the cluster.
func (a *app) addCallerFlags(c *cobra.Command) {
	f := c.Flags()
	if f.Lookup("custodian") != nil {
		return // what proposes a change has them already
	}
	f.StringVar(&a.caller.custodianFile, "custodian", "", "call as this custodian, in place of the application's certificate")
	f.StringVar(&a.caller.passphraseFile, "passphrase-file", "", "file with the custodian's passphrase, or its token's PIN, mode 0600 (default: ask on the terminal)")
	a.addTimeoutFlag(c)
}

func (a *app) addTimeoutFlag(c *cobra.Command) {
	c.Flags().DurationVar(&a.caller.timeout, "timeout", callTimeout, "how long to wait for the cluster")
}

// connect makes a client of the cluster that is pinned here. It calls nobody
// yet. The caller closes it.
func (a *app) connect() (*client.Client, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	return a.connectFrom(h)
}

// connectFrom is [app.connect] with a home directory that was read already.
func (a *app) connectFrom(h *home.Home) (*client.Client, error) {
	if a.caller.timeout <= 0 {
		return nil, fail(exitUsage, "--timeout must be more than nothing")
	}
	var cert tls.Certificate
	var err error
	switch {
	case a.caller.custodianFile == "":
		cert, err = loadIdentity(h)
	case a.caller.certificate != nil:
		cert = *a.caller.certificate
	default:
		cert, err = a.custodianCertificate(a.caller.custodianFile, a.caller.passphraseFile)
		a.caller.certificate = &cert
	}
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		Genesis: h.Genesis, Known: h.Custody, Claims: h.Claims, Certificate: cert, Region: h.Region, Source: h.Source, Timeout: a.caller.timeout,
		Log: a.notes(),
	})
}

// custodianLife bounds a custodian's client certificate, which is made anew for
// each call. Nodes know its key from genesis.
const custodianLife = time.Hour

func (a *app) custodianCertificate(file, passphraseFile string) (tls.Certificate, error) {
	c, err := a.openCustodian(file, passphraseFile, "to call the cluster")
	if err != nil {
		return tls.Certificate{}, err
	}
	return selfSigned(c.SignKey(), c.Name())
}

// selfSigned makes a client certificate that only its key vouches for.
func selfSigned(key crypto.Signer, name string) (tls.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now().Add(-custodianLife), NotAfter: now().Add(custodianLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the client certificate of %s: %w", name, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// askPolicy asks the cluster for the policy in force.
func (a *app) askPolicy(ctx context.Context) (*api.PolicyAnswer, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Policy(ctx)
}
