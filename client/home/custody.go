package home

import (
	"errors"
	"fmt"
	"io/fs"

	"warifu.dev/authority"
)

// readCustody follows the changes that a file has; without the file, it is genesis.
func readCustody(name string, g *authority.VerifiedGenesis) (*authority.Succession, error) {
	b, err := Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return authority.Follow(g, nil)
	}
	if err != nil {
		return nil, err
	}
	entries, err := authority.ParseSuccession(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s, err := authority.Follow(g, entries)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}
