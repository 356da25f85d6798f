package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"

	"warifu.dev/api"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

func (a *app) clientCommand() *cobra.Command {
	return group("client", "Set up this machine or account as a client of a cluster",
		"A client is given the genesis document by its hash: that is all it has to trust.\nThe hash comes from a custodian, by another way than the document.",
		"  warifu client init --genesis genesis --hash 6b1f... --cert app.crt --key app.key --region jp-east",
		a.clientInitCommand())
}

func (a *app) clientInitCommand() *cobra.Command {
	var genesis, hash, cert, key, region, source string
	var replace bool
	c := &cobra.Command{
		Use:   "init --genesis FILE --hash HASH [--cert FILE --key FILE] [--region REGION] [--source ADDRESS]",
		Short: "Pin a cluster's genesis document, and keep the certificate to call with",
		Long: `Pins a cluster's genesis document and keeps the certificate to call with, in
$WARIFU_HOME (default ~/.config/warifu, or --home DIR).

The document is refused when its hash is not HASH, or when too few custodians
signed it. Without --cert only a custodian can call the cluster from here, with
--custodian FILE; wrapping with a saved key record needs no call at all.

REGION is where this client is: nodes there are asked first. ADDRESS is one of this
machine's own, for one that has several: a policy can ask from which network a call
comes.`,
		Example: "  warifu client init --genesis genesis --hash 6b1f... --cert app.crt --key app.key --region jp-east",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			digest, err := parseHash("--hash", hash)
			if err != nil {
				return err
			}
			g, err := home.ReadGenesis(genesis, digest)
			if err != nil {
				return err
			}
			var regions []string
			for _, n := range g.Roster {
				regions = append(regions, n.Region)
			}
			if region != "" {
				if err := misused("--region", api.CheckName(region)); err != nil {
					return err
				}
				if !slices.Contains(regions, region) {
					fmt.Fprintf(a.errs, "warifu: note: no node is in %s\n", region)
				}
			}
			if source != "" {
				if _, err := netip.ParseAddr(source); err != nil {
					return misused("--source", err)
				}
			}
			dir, err := a.homeDir()
			if err != nil {
				return err
			}
			files := []homeFile{{home.GenesisFile, modePublic, g.Signed().Encode()}}
			if cert != "" {
				pair, err := readIdentity(cert, key)
				if err != nil {
					return err
				}
				if now().After(pair.Leaf.NotAfter) {
					fmt.Fprintf(a.errs, "warifu: note: this certificate expired on %s; nodes will refuse it\n", instant(pair.Leaf.NotAfter.UnixMilli()))
				}
				if !slices.Contains(pair.Leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || len(pair.Leaf.URIs) != 1 {
					fmt.Fprintln(a.errs, "warifu: note: this certificate is not for client authentication with exactly one SPIFFE URI; nodes will refuse it")
				}
				chain, err := readSmall(cert)
				if err != nil {
					return err
				}
				private, err := readSecret(key)
				if err != nil {
					return err
				}
				defer clear(private)
				files = append(files, homeFile{home.CertificateFile, modePublic, chain}, homeFile{home.KeyFile, modeSecret, private})
			}
			b, err := json.MarshalIndent(home.Settings{GenesisHash: digest.String(), Region: region, Source: source}, "", "  ")
			if err != nil {
				panic(err)
			}
			// The settings come last: a home without them is not one yet.
			files = append(files, homeFile{home.SettingsFile, modePublic, append(b, '\n')})
			if err := writeHome(dir, files, replace); err != nil {
				return err
			}
			return a.show(map[string]any{"home": dir, "cluster": g.Cluster, "genesis_hash": digest, "nodes": len(g.Roster)}, func(w io.Writer) {
				facts(w, "cluster", g.Cluster.String(), "nodes", fmt.Sprint(len(g.Roster)), "written to", dir)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&genesis, "genesis", "", "the signed genesis document")
	f.StringVar(&hash, "hash", "", "the hash it must have: 64 hexadecimal digits, or its 24 words in quotes")
	f.StringVar(&cert, "cert", "", "this application's certificate chain, PEM")
	f.StringVar(&key, "key", "", "its private key, PEM, mode 0600")
	f.StringVar(&region, "region", "", "the region this client is in")
	f.StringVar(&source, "source", "", "the address of this machine to call from (default: the system's choice)")
	f.BoolVar(&replace, "replace", false, "replace what is there, for a new certificate or another cluster")
	required(c, "genesis", "hash")
	c.MarkFlagsRequiredTogether("cert", "key")
	return c
}

type homeFile struct {
	name string
	mode fs.FileMode
	b    []byte
}

// writeHome writes all files or, when one exists and may not be replaced, none.
func writeHome(dir string, files []homeFile, replace bool) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	if !replace {
		for _, f := range files {
			if err := mustNotExist(filepath.Join(dir, f.name)); err != nil {
				return fmt.Errorf("%w; for another cluster give --home DIR, for a new certificate --replace", err)
			}
		}
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.name), f.mode, f.b, replace); err != nil {
			return err
		}
	}
	return nil
}
