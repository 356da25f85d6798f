package home

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Variable names the environment variable that says where the home directory is.
const Variable = "WARIFU_HOME"

// Names of the files, see the package comment.
const (
	SettingsFile    = "settings.json"
	GenesisFile     = "genesis"
	CertificateFile = "identity.crt"
	KeyFile         = "identity.key"
	RecordsDir      = "records"
	CustodyFile     = "custodians"
	AddressesFile   = "addresses"
)

// Errors of a home directory.
var (
	// ErrNone means that nothing was set up where a client's settings are looked for.
	ErrNone = errors.New("no cluster is known here")
	// ErrSettings means that the settings do not decode.
	ErrSettings = errors.New("malformed settings")
	// ErrOtherGenesis means that a document does not have the hash that was pinned.
	ErrOtherGenesis = errors.New("another genesis document")
	// ErrNoIdentity means that there is no certificate to call with.
	ErrNoIdentity = errors.New("no certificate")
	// ErrIdentity means that certificate and key do not parse, or do not fit.
	ErrIdentity = errors.New("not a certificate and its key")
	// ErrOtherKey means that the record of another key was kept under this key's id.
	ErrOtherKey = errors.New("the record of another key")
)

// Settings are what was pinned when the directory was set up.
type Settings struct {
	GenesisHash string `json:"genesis_hash"`
	Region      string `json:"region,omitempty"`
	// Source is an address, or empty.
	Source string `json:"source,omitempty"`
}

// Home is a directory whose genesis document is believed.
type Home struct {
	Dir     string
	Region  string     // where this client is; may be empty
	Source  netip.Addr // of this machine, to call from; may be none
	Genesis *authority.VerifiedGenesis
	// Custody is who holds authority, as far as it is known here.
	Custody *authority.Succession
	// Claims are where nodes were when they were asked last, for [client.Config].
	Claims [][]byte
}

// Dir is where the home directory is when nobody says otherwise: $WARIFU_HOME,
// or ~/.config/warifu.
func Dir() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return dir, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home directory; set %s", Variable)
	}
	return filepath.Join(user, ".config", "warifu"), nil
}

// Open reads the settings and believes the genesis document beside them only if
// it has the hash that was pinned, and enough signatures.
func Open(dir string) (*Home, error) {
	path := filepath.Join(dir, SettingsFile)
	b, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s); run: warifu client init --genesis FILE --hash HASH", ErrNone, dir)
	}
	if err != nil {
		return nil, err
	}
	s, err := ParseSettings(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var source netip.Addr
	if s.Source != "" {
		if source, err = netip.ParseAddr(s.Source); err != nil {
			return nil, fmt.Errorf("%s: %w: source: %w", path, ErrSettings, err)
		}
	}
	hash, err := api.ParseDigest(s.GenesisHash)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g, err := ReadGenesis(filepath.Join(dir, GenesisFile), hash)
	if err != nil {
		return nil, err
	}
	h := &Home{Dir: dir, Region: s.Region, Source: source, Genesis: g}
	if h.Custody, err = readCustody(filepath.Join(dir, CustodyFile), g); err != nil {
		return nil, err
	}
	if h.Claims, err = readAddresses(filepath.Join(dir, AddressesFile)); err != nil {
		return nil, err
	}
	return h, nil
}

// ParseSettings reads [SettingsFile]. Every refusal is an [ErrSettings].
func ParseSettings(b []byte) (Settings, error) {
	var s Settings
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return s, nil
}

// ReadGenesis reads a document that must have this hash and enough signatures.
func ReadGenesis(name string, hash api.Digest) (*authority.VerifiedGenesis, error) {
	b, err := Read(name)
	if err != nil {
		return nil, err
	}
	s, _, err := authority.ParseSignedGenesis(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if has := s.Hash(); has != hash {
		return nil, fmt.Errorf("%s is %w: its hash is %s, expected is %s", name, ErrOtherGenesis, has, hash)
	}
	g, err := s.Verify()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}

// Identity reads the application's certificate chain and its key.
func (h *Home) Identity() (tls.Certificate, error) {
	cert, err := ReadIdentity(filepath.Join(h.Dir, CertificateFile), filepath.Join(h.Dir, KeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("%w in %s to call with; run: warifu client init --cert FILE --key FILE", ErrNoIdentity, h.Dir)
	}
	return cert, err
}

// ReadIdentity reads a certificate chain and the private key that fits it.
func ReadIdentity(certFile, keyFile string) (tls.Certificate, error) {
	chain, err := Read(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ReadSecret(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer clear(key)
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s are %w: %w", certFile, keyFile, ErrIdentity, err)
	}
	return cert, nil
}
