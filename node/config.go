package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/node/ops"
)

// Config is a node's own configuration: local facts only. It is the file
// node.toml in the node's directory; nothing in it can be set over the wire.
type Config struct {
	Node   string `toml:"node"`   // id on the roster
	Region string `toml:"region"` // as on the roster
	Client string `toml:"client"` // host:port claimed for clients, UDP
	Peer   string `toml:"peer"`   // host:port claimed for other nodes, UDP

	// ListenClient and ListenPeer are where the node listens when that is not
	// what it claims: behind a relay or a translation of addresses.
	ListenClient string `toml:"listen_client,omitempty"`
	ListenPeer   string `toml:"listen_peer,omitempty"`

	HSM HSMConfig `toml:"hsm"`

	Ops OpsConfig `toml:"ops,omitempty"`

	// AuditReserve is kept free for the record that says the audit is full, in
	// bytes; 0 means 64 MiB.
	AuditReserve int64 `toml:"audit_reserve,omitempty"`
}

// HSMConfig names the token that seals this node's secrets.
type HSMConfig struct {
	Kind    string `toml:"kind"`               // "pkcs11", or "soft", which protects nothing
	Module  string `toml:"module,omitempty"`   // path of the PKCS#11 module
	Token   string `toml:"token,omitempty"`    // its label
	Serial  string `toml:"serial,omitempty"`   // pinned at init; another token is refused
	PINFile string `toml:"pin_file,omitempty"` // path, relative to the node's directory
}

// OpsConfig is where the operator of this machine asks how the node is; see
// warifu.dev/node/ops.
type OpsConfig struct {
	Listen string `toml:"listen,omitempty"` // host:port on loopback, TCP; empty for nowhere
}

// ErrConfig is returned, wrapped, for a configuration that is not usable.
var ErrConfig = errors.New("not a usable node.toml")

const (
	configName    = "node.toml"
	maxConfigFile = 64 << 10
)

// LoadConfig reads DIR/node.toml.
func LoadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, configName)
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads a node.toml; unknown fields are refused. Every refusal wraps
// [ErrConfig].
func ParseConfig(b []byte) (Config, error) {
	if len(b) > maxConfigFile {
		return Config{}, fmt.Errorf("%w: it has %d bytes", ErrConfig, len(b))
	}
	var c Config
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return Config{}, fmt.Errorf("%w: unknown field: %s", ErrConfig, strings.Join(strict.Errors[0].Key(), "."))
		}
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := c.validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) validate() error {
	for what, name := range map[string]string{"node": c.Node, "region": c.Region} {
		if err := api.CheckName(name); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
		}
	}
	addresses := map[string]string{"client": c.Client, "peer": c.Peer}
	for what, address := range map[string]string{"listen_client": c.ListenClient, "listen_peer": c.ListenPeer} {
		if address != "" {
			addresses[what] = address
		}
	}
	for what, address := range addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
		}
		if len(address) > authority.MaxAddress {
			return fmt.Errorf("%w: %s: more than %d bytes", ErrConfig, what, authority.MaxAddress)
		}
	}
	switch c.HSM.Kind {
	case "pkcs11":
		if c.HSM.Module == "" || c.HSM.Token == "" || c.HSM.PINFile == "" {
			return fmt.Errorf("%w: hsm: pkcs11 needs module, token and pin_file", ErrConfig)
		}
	case "soft":
	default:
		return fmt.Errorf("%w: hsm: unknown kind %q", ErrConfig, c.HSM.Kind)
	}
	if c.Ops.Listen != "" {
		if err := ops.CheckAddress(c.Ops.Listen); err != nil {
			return fmt.Errorf("%w: ops.listen: %w", ErrConfig, err)
		}
	}
	if c.AuditReserve < 0 {
		return fmt.Errorf("%w: audit_reserve is negative", ErrConfig)
	}
	return nil
}

// listenClient is the address of the socket for clients.
func (c *Config) listenClient() string {
	if c.ListenClient != "" {
		return c.ListenClient
	}
	return c.Client
}

// listenPeer is the address of the socket for other nodes.
func (c *Config) listenPeer() string {
	if c.ListenPeer != "" {
		return c.ListenPeer
	}
	return c.Peer
}

func (c *Config) encode() ([]byte, error) { return toml.Marshal(c) }
