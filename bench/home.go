package bench

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
)

// Home makes a client from a directory that `warifu client init` made. It warns to log,
// which may be nil.
func Home(dir string, log *slog.Logger) (*client.Client, error) {
	var settings struct {
		GenesisHash string `json:"genesis_hash"`
		Region      string `json:"region"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "settings.json"))
	if err != nil {
		return nil, fmt.Errorf("no cluster is known in %s (give --start, --home DIR or set WARIFU_HOME): %w", dir, err)
	}
	if err := json.Unmarshal(b, &settings); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "settings.json"), err)
	}
	hash, err := api.ParseDigest(settings.GenesisHash)
	if err != nil {
		return nil, err
	}
	document, err := os.ReadFile(filepath.Join(dir, "genesis"))
	if err != nil {
		return nil, err
	}
	signed, _, err := authority.ParseSignedGenesis(document)
	if err != nil {
		return nil, err
	}
	genesis, err := signed.Verify()
	if err != nil {
		return nil, err
	}
	if genesis.Hash() != hash {
		return nil, fmt.Errorf("%s is another cluster's genesis: its hash is %s, pinned is %s", filepath.Join(dir, "genesis"), genesis.Hash(), hash)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "identity.crt"), filepath.Join(dir, "identity.key"))
	if err != nil {
		return nil, fmt.Errorf("the identity to call with: %w", err)
	}
	return client.New(client.Config{Genesis: genesis, Certificate: cert, Region: settings.Region, Log: log})
}

// NodePIDs finds the processes of the demo whose client's home is dir: the files
// nodes/ID/pid beside it. Elsewhere there are none.
func NodePIDs(dir string) (map[string]int, error) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Clean(dir)), "nodes", "*", "pid"))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out[filepath.Base(filepath.Dir(f))] = pid
	}
	return out, nil
}
