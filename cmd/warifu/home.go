package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"warifu.dev/authority"
	"warifu.dev/client/home"
)

// homeDir returns where this client's settings are.
func (a *app) homeDir() (string, error) {
	if a.home != "" {
		return a.home, nil
	}
	dir, err := home.Dir()
	if err != nil {
		return "", fail(exitUsage, "%w, or give --home DIR", err)
	}
	return dir, nil
}

// loadHome reads this client's home directory.
func (a *app) loadHome() (*home.Home, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	return home.Open(dir)
}

// loadIdentity reads the application's certificate and key.
func loadIdentity(h *home.Home) (tls.Certificate, error) {
	cert, err := h.Identity()
	if errors.Is(err, home.ErrNoIdentity) {
		err = fmt.Errorf("%w; or give --custodian FILE", err)
	}
	return cert, err
}

// readIdentity reads a certificate chain and the private key that fits it.
func readIdentity(certFile, keyFile string) (tls.Certificate, error) {
	return home.ReadIdentity(certFile, keyFile)
}

// readGenesis reads a document without counting its signatures.
func readGenesis(name string) (*authority.SignedGenesis, *authority.Genesis, error) {
	b, err := readSmall(name)
	if err != nil {
		return nil, nil, err
	}
	s, g, err := authority.ParseSignedGenesis(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, g, nil
}

// knownGenesis is the document of --genesis, or the one pinned at home as it reads with
// the custodians who are known there, or nil if there is neither.
func (a *app) knownGenesis(file string) (*authority.Genesis, error) {
	if file != "" {
		_, g, err := readGenesis(file)
		return g, err
	}
	h, err := a.loadHome()
	if errors.Is(err, home.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return h.Custody.Genesis, nil
}

// needGenesis is [app.knownGenesis] where there must be one.
func (a *app) needGenesis(file string) (*authority.Genesis, error) {
	g, err := a.knownGenesis(file)
	if err == nil && g == nil {
		dir, _ := a.homeDir()
		return nil, fail(exitLocal, "%w (%s); give --genesis FILE, or run: warifu client init --genesis FILE --hash HASH", home.ErrNone, dir)
	}
	return g, err
}
