package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/ports"
	"warifu.dev/node/keyring"
)

// Vacant says whether Init can make the node that c describes in dir, before
// anything is made or a token opened.
func Vacant(dir string, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(dir, identityName))
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w; its roster line is in %s", dir, ErrNotEmpty, filepath.Join(dir, lineName))
	case errors.Is(err, os.ErrNotExist):
		return nil
	default:
		return err
	}
}

// Init makes a node's directory: its configuration, its identity key sealed by
// dev, and the places where things will rest. It returns the node's roster line,
// which is kept in the directory too. The directory may exist; a node that is
// there already is not touched. The identity comes last and makes it a node: an
// Init that was cut off before can be run again.
func Init(rand io.Reader, dir string, c Config, dev hsm.Device) (authority.Node, error) {
	var none authority.Node
	if err := Vacant(dir, c); err != nil {
		return none, err
	}
	for _, d := range []string{"", sealDir, ceremonyDir, auditDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return none, fmt.Errorf("make the node's directory: %w", err)
		}
	}
	c.HSM.Serial = dev.Serial()
	if err := choosePorts(&c); err != nil {
		return none, err
	}
	text, err := c.encode()
	if err != nil {
		return none, fmt.Errorf("encode the configuration: %w", err)
	}
	err = failpoint.Step("init/write-config", func() error { return keyring.WriteFile(nil, dir, configName, text) })
	if err != nil {
		return none, err
	}
	var line authority.Node
	return line, createIdentity(rand, dir, c.Node, dev, func(signer *authority.Signer) error {
		claim, err := authority.SignClaim(rand, signer, authority.AddressClaim{
			Node: c.Node, Counter: 1, Client: c.Client, Peer: c.Peer,
		})
		if err != nil {
			return err
		}
		line = authority.Node{ID: c.Node, Region: c.Region, Key: signer.PublicKey(), Claim: claim}
		return failpoint.Step("init/write-line", func() error {
			return keyring.WriteFile(nil, dir, lineName, []byte(RosterLine(line)+"\n"))
		})
	})
}

// choosePorts replaces port 0 by one that is free now, and that the node can keep.
func choosePorts(c *Config) error {
	for _, address := range []*string{&c.Client, &c.Peer} {
		host, port, err := net.SplitHostPort(*address)
		if err != nil || port != "0" {
			continue
		}
		socket, err := ports.Listen(host)
		if err != nil {
			return err
		}
		*address = socket.LocalAddr().String()
		defer socket.Close() // after the other is chosen, so that they differ
	}
	return nil
}

// Join gives a node the genesis document, once, and returns its hash, which the
// operator compares with what the custodians signed. A document whose roster does not
// have this node with this key is refused, and so is another document later: a node
// belongs to one cluster for ever.
//
// A node that custodians have added since is given the chain of their changes as well,
// as [authority.EncodeSuccession] makes it: the roster to which it leads has the node.
// A longer one may be given later. It is nil for a node that genesis has.
func Join(dir string, document, chain []byte) (api.Digest, error) {
	g, err := verifyGenesis(document)
	if err != nil {
		return api.Digest{}, err
	}
	known, err := parseChain(g, chain)
	if err != nil {
		return api.Digest{}, err
	}
	have, err := keyring.ReadFile(dir, genesisName)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := checkRoster(dir, known.Genesis); err != nil {
			return api.Digest{}, err
		}
		return g.Hash(), failpoint.Step("join/write-genesis", func() error {
			if chain != nil {
				if err := keyring.WriteFile(nil, dir, chainName, chain); err != nil {
					return err
				}
			}
			return keyring.WriteFile(nil, dir, genesisName, document)
		})
	case err != nil:
		return api.Digest{}, err
	}
	old, _, err := authority.ParseSignedGenesis(have)
	if err != nil {
		return api.Digest{}, err
	}
	if old.Hash() != g.Hash() {
		return api.Digest{}, fmt.Errorf("%s: %w: of the genesis %s", dir, ErrNotEmpty, old.Hash())
	}
	if chain == nil {
		return g.Hash(), nil
	}
	before, err := readChain(dir, g)
	if err != nil {
		return api.Digest{}, err
	}
	if !known.Extends(before) {
		return api.Digest{}, fmt.Errorf("%w: it does not go on from the chain that this node has", authority.ErrMembership)
	}
	return g.Hash(), failpoint.Step("join/write-chain", func() error { return keyring.WriteFile(nil, dir, chainName, chain) })
}

// parseChain verifies a chain of changes; nil is the empty one.
func parseChain(g *authority.VerifiedGenesis, chain []byte) (*authority.Succession, error) {
	if chain == nil {
		return authority.Begin(g), nil
	}
	entries, err := authority.ParseSuccession(chain)
	var known *authority.Succession
	if err == nil {
		known, err = authority.Follow(g, entries)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the chain of changes: %w", ErrGenesis, err)
	}
	return known, nil
}

// readChain reads the chain that join was given.
func readChain(dir string, g *authority.VerifiedGenesis) (*authority.Succession, error) {
	b, err := keyring.ReadFile(dir, chainName)
	if errors.Is(err, os.ErrNotExist) {
		return authority.Begin(g), nil
	}
	if err != nil {
		return nil, err
	}
	return parseChain(g, b)
}

// verifyGenesis reads a genesis document and checks that enough custodians signed it.
func verifyGenesis(document []byte) (*authority.VerifiedGenesis, error) {
	s, _, err := authority.ParseSignedGenesis(document)
	if err != nil {
		return nil, err
	}
	g, err := s.Verify()
	if err != nil && !errors.Is(err, ErrGenesis) {
		err = fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return g, err
}

// checkRoster holds a roster against the node in dir: its id, region and key.
func checkRoster(dir string, g *authority.Genesis) error {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return err
	}
	line, err := rosterLine(g, cfg)
	if err != nil {
		return err
	}
	public, err := identityPublic(dir)
	if err != nil {
		return err
	}
	if string(public) != string(line.Key) {
		return fmt.Errorf("%w: its roster has another key for %s", ErrGenesis, cfg.Node)
	}
	return nil
}

// rosterLine returns the roster's line for the node that cfg describes.
func rosterLine(g *authority.Genesis, cfg Config) (*authority.Node, error) {
	m := g.NodeByID(cfg.Node)
	if m == nil || m.Region != cfg.Region {
		return nil, fmt.Errorf("%w: %s in %s is not on the roster", ErrGenesis, cfg.Node, cfg.Region)
	}
	return m, nil
}

// RosterLine renders a node's roster line as text.
func RosterLine(n authority.Node) string { return authority.FormatNode(n) }

// ErrGenesis is [authority.ErrGenesis]: a genesis document that breaks a rule.
var ErrGenesis = authority.ErrGenesis
