package keyring

import (
	"fmt"
	"strings"

	"warifu.dev/hsm"
	"warifu.dev/internal/failpoint"
)

// Bury destroys every key with which a token seals the generations of a keyring: nothing
// opens any of them from then on, backups included. It says which there were; with none it
// does nothing.
func Bury(dev hsm.Device) ([]string, error) {
	labels, err := dev.Labels()
	if err != nil {
		return nil, fmt.Errorf("look for sealing keys: %w", err)
	}
	var gone []string
	for _, label := range labels {
		if !strings.HasPrefix(label, hsmPrefix) {
			continue
		}
		if err := failpoint.Step("keyring/bury", func() error { return destroyKey(dev, label) }); err != nil {
			return gone, fmt.Errorf("destroy the sealing key %s: %w", label, err)
		}
		gone = append(gone, label)
	}
	return gone, nil
}
