package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildBinaries builds warifud, as it is in this module, into dir, with these
// build tags.
func BuildBinaries(dir string, tags ...string) error {
	return build(dir, "-tags", strings.Join(tags, ","))
}

func build(dir string, flags ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", dir+string(filepath.Separator), "./cmd/warifud")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build warifud: %w: %s", err, out)
	}
	return nil
}

// moduleRoot is the directory above this one that has go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", fmt.Errorf("build warifud: no go.mod above the working directory")
		}
		dir = above
	}
}
