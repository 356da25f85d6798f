package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// edited returns the source that the fault changes, as it is and with the fault.
func (f fault) edited(root string) (source string, content []byte, err error) {
	source = filepath.Join(root, filepath.FromSlash(f.file))
	b, err := os.ReadFile(source)
	if err != nil {
		return "", nil, fmt.Errorf("plant %q: %w", f.name, err)
	}
	if n := strings.Count(string(b), f.old); n != 1 {
		return "", nil, fmt.Errorf("plant %q: what it replaces stands %d times in %s, must be once", f.name, n, f.file)
	}
	return source, []byte(strings.Replace(string(b), f.old, f.new, 1)), nil
}

// plant writes the edited file and the overlay that names it into dir, and
// returns the overlay's path.
func (f fault) plant(root, dir string) (overlay string, err error) {
	source, content, err := f.edited(root)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.Base(f.file))
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		return "", fmt.Errorf("plant %q: %w", f.name, err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		return "", fmt.Errorf("plant %q: %w", f.name, err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		return "", fmt.Errorf("plant %q: %w", f.name, err)
	}
	return overlay, nil
}
