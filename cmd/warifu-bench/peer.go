package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"warifu.dev/bench"
	"warifu.dev/internal/secret"
)

// peerTokenVariable is where a peer's token is looked for. There is no flag for the
// token itself: everybody on the machine sees a process's arguments.
const peerTokenVariable = "WARIFU_PEER_TOKEN"

// peerFlags say what is measured beside a cluster.
type peerFlags struct {
	peer, token, mount, key, roots string
	pid                            int
}

func (f *peerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.peer, "peer", "", "vault=URL: measure what speaks Vault's transit API there, too (default: no peer)")
	flags.StringVar(&f.token, "peer-token-file", "", "file with the peer's token (default: $"+peerTokenVariable+")")
	flags.StringVar(&f.mount, "peer-mount", "transit", "where the peer's transit engine is mounted")
	flags.StringVar(&f.key, "peer-key", "warifu-bench", "name of the peer's key, which is there already")
	flags.StringVar(&f.roots, "peer-ca", "", "PEM file of certificates that an https peer is trusted by (default: the system's)")
	flags.IntVar(&f.pid, "peer-pid", 0, "id of the peer's process (default: who listens at the URL's port, on this machine)")
}

// parsePeer reads kind=URL.
func parsePeer(s string) (kind, at string, err error) {
	kind, at, ok := strings.Cut(s, "=")
	if !ok || kind != bench.PeerVault || at == "" {
		return "", "", fmt.Errorf("a peer is vault=URL, for whatever speaks Vault's transit API, not %q", s)
	}
	return kind, at, nil
}

// check looks at what was typed before anything starts.
func (f *peerFlags) check() error {
	if f.peer == "" {
		for _, without := range []string{f.token, f.roots} {
			if without != "" {
				return errors.New("there is no --peer that this is for")
			}
		}
		return nil
	}
	_, _, err := parsePeer(f.peer)
	return err
}

// find returns the peer that was named, or nil.
func (f *peerFlags) find(ctx context.Context) (*bench.Peer, error) {
	if f.peer == "" {
		return nil, nil
	}
	kind, at, err := parsePeer(f.peer)
	if err != nil {
		return nil, err
	}
	conf := bench.PeerConfig{Kind: kind, URL: at, Mount: f.mount, Key: f.key, PID: f.pid}
	token := os.Getenv(peerTokenVariable)
	if f.token != "" {
		b, err := os.ReadFile(f.token)
		if err != nil {
			return nil, fmt.Errorf("the peer's token: %w", err)
		}
		token = string(b)
	}
	if token = strings.TrimSpace(token); token == "" {
		return nil, fmt.Errorf("the peer's token: nothing in %s", cmp.Or(f.token, "$"+peerTokenVariable))
	}
	conf.Token = secret.New([]byte(token))
	if f.roots != "" {
		if conf.Roots, err = os.ReadFile(f.roots); err != nil {
			return nil, fmt.Errorf("what the peer is trusted by: %w", err)
		}
	}
	return bench.NewPeer(ctx, conf)
}
