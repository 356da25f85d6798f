package api

import (
	"errors"
	"fmt"
)

// MaxNameLength is the longest name of a key, node, region or custodian, in bytes.
const MaxNameLength = 63

// ErrName is returned, wrapped, for a name with other characters or another length.
var ErrName = errors.New("a name has 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and starts with a letter or a digit")

// CheckName says whether s may name a key, a node, a region or a custodian.
// Names are compared byte by byte; upper case is refused, never folded (R22).
func CheckName(s string) error {
	if len(s) == 0 || len(s) > MaxNameLength {
		return fmt.Errorf("%w: %q", ErrName, abbreviate(s))
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return fmt.Errorf("%w: %q", ErrName, abbreviate(s))
		}
	}
	return nil
}
