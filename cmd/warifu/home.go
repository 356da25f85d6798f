package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Files of a client's home directory:
//
//	genesis        the document, as handed out
//	settings.json  which hash it must have, and where the client is
//	identity.crt   the application's certificate chain, PEM; may be missing
//	identity.key   its key, PEM, 0600
const (
	homeGenesis  = "genesis"
	homeSettings = "settings.json"
	homeCert     = "identity.crt"
	homeKey      = "identity.key"
)

// settings are what was pinned at `client init`.
type settings struct {
	GenesisHash string `json:"genesis_hash"`
	Region      string `json:"region,omitempty"`
}

// errNoHome means that nothing was set up where a client's settings are looked for.
var errNoHome = errors.New("no cluster is known here")

// homeDir returns where this client's settings are.
func (a *app) homeDir() (string, error) {
	if a.home != "" {
		return a.home, nil
	}
	if dir := os.Getenv("WARIFU_HOME"); dir != "" {
		return dir, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fail(exitUsage, "there is no home directory; give --home DIR or set WARIFU_HOME")
	}
	return filepath.Join(user, ".config", "warifu"), nil
}

// loadHome reads the settings and believes the genesis document beside them only
// if it has the hash that was pinned, and enough signatures.
func (a *app) loadHome() (settings, *authority.VerifiedGenesis, error) {
	var s settings
	dir, err := a.homeDir()
	if err != nil {
		return s, nil, err
	}
	b, err := readSmall(filepath.Join(dir, homeSettings))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil, fail(exitLocal, "%w (%s); run: warifu client init --genesis FILE --hash HASH", errNoHome, dir)
	}
	if err != nil {
		return s, nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, nil, fail(exitInput, "%s is malformed: %w", filepath.Join(dir, homeSettings), err)
	}
	hash, err := api.ParseDigest(s.GenesisHash)
	if err != nil {
		return s, nil, fmt.Errorf("%s: %w", filepath.Join(dir, homeSettings), err)
	}
	g, err := readVerifiedGenesis(filepath.Join(dir, homeGenesis), hash)
	return s, g, err
}

// loadIdentity reads the application's certificate and key.
func (a *app) loadIdentity() (tls.Certificate, error) {
	dir, err := a.homeDir()
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := readIdentity(filepath.Join(dir, homeCert), filepath.Join(dir, homeKey))
	if errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fail(exitLocal, "no certificate in %s to call with; give --custodian FILE, or run: warifu client init --cert FILE --key FILE", dir)
	}
	return cert, err
}

// readIdentity reads a certificate chain and the private key that fits it.
func readIdentity(certFile, keyFile string) (tls.Certificate, error) {
	chain, err := readSmall(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readSecret(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer clear(key)
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fail(exitInput, "%s and %s are not a certificate and its key: %w", certFile, keyFile, err)
	}
	return cert, nil
}

// readVerifiedGenesis reads a document that must have this hash and enough
// signatures.
func readVerifiedGenesis(name string, hash api.Digest) (*authority.VerifiedGenesis, error) {
	s, _, err := readGenesis(name)
	if err != nil {
		return nil, err
	}
	if s.Hash() != hash {
		return nil, otherGenesis(name, s.Hash(), hash)
	}
	g, err := s.Verify()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}

func otherGenesis(name string, has, expected api.Digest) error {
	return fail(exitInput, "%s is another genesis document: its hash is %s, expected is %s", name, has, expected)
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

// knownGenesis is the document of --genesis, or the one pinned at home, or nil if
// there is neither.
func (a *app) knownGenesis(file string) (*authority.Genesis, error) {
	if file != "" {
		_, g, err := readGenesis(file)
		return g, err
	}
	_, g, err := a.loadHome()
	if errors.Is(err, errNoHome) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &g.Genesis, nil
}

// needGenesis is [app.knownGenesis] where there must be one.
func (a *app) needGenesis(file string) (*authority.Genesis, error) {
	g, err := a.knownGenesis(file)
	if err == nil && g == nil {
		dir, _ := a.homeDir()
		return nil, fail(exitLocal, "%w (%s); give --genesis FILE, or run: warifu client init --genesis FILE --hash HASH", errNoHome, dir)
	}
	return g, err
}
