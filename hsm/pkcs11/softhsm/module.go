package softhsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ModuleVariable names the variable that says where the PKCS#11 module is.
const ModuleVariable = "WARIFU_PKCS11_MODULE"

// ErrMissing: SoftHSM is not installed, or not where it was said to be.
var ErrMissing = errors.New("softhsm: SoftHSM 2 is missing, script/deps installs it")

// places is where distributions put the module. script/deps has the same list.
var places = []string{
	"/usr/lib/softhsm/libsofthsm2.so",              // Debian, Ubuntu
	"/usr/lib/*-linux-gnu*/softhsm/libsofthsm2.so", // Debian, Ubuntu, older
	"/usr/lib64/pkcs11/libsofthsm2.so",             // Fedora
	"/usr/lib64/softhsm/libsofthsm2.so",            // Fedora, older
	"/usr/lib/pkcs11/libsofthsm2.so",               // Arch
	"/usr/lib/libsofthsm2.so",                      // Arch, older
	"/usr/local/lib/softhsm/libsofthsm2.so",        // from source, Homebrew on Intel
	"/opt/homebrew/lib/softhsm/libsofthsm2.so",     // Homebrew on ARM
	"/usr/local/opt/softhsm/lib/softhsm/libsofthsm2.so",
	"/home/linuxbrew/.linuxbrew/lib/softhsm/libsofthsm2.so",
}

// Module returns the path of the PKCS#11 module: $WARIFU_PKCS11_MODULE if set,
// else the first of the usual places. ErrMissing.
func Module() (string, error) {
	if path := os.Getenv(ModuleVariable); path != "" {
		if !isFile(path) {
			return "", fmt.Errorf("%s names %s, which is not there: %w", ModuleVariable, path, ErrMissing)
		}
		return path, nil
	}
	for _, place := range places {
		found, err := filepath.Glob(place)
		if err != nil {
			panic(fmt.Sprintf("softhsm: bad pattern %q: %v", place, err))
		}
		for _, path := range found {
			if isFile(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("no libsofthsm2.so in the usual places: %w", ErrMissing)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
