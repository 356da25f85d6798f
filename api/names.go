package api

import (
	"errors"
	"fmt"
	"strings"
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

// MaxPrincipal is the longest SPIFFE ID, in bytes (SPIFFE-ID, section 2.3).
const MaxPrincipal = 2048

// ErrPrincipal is returned, wrapped, for text that is not the SPIFFE ID of a workload.
var ErrPrincipal = errors.New("a principal is a SPIFFE ID: spiffe://trust-domain/path")

// CheckPrincipal says whether s is the SPIFFE ID of a workload (SPIFFE-ID,
// section 2): scheme, trust domain and path of plain segments, nothing else. So
// one identity has one spelling.
func CheckPrincipal(s string) error {
	const (
		domainRunes  = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
		segmentRunes = domainRunes + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	)
	made := func(s, of string) bool { return s != "" && strings.Trim(s, of) == "" }
	rest, ok := strings.CutPrefix(s, "spiffe://")
	domain, path, slash := strings.Cut(rest, "/")
	ok = ok && slash && len(s) <= MaxPrincipal && made(domain, domainRunes)
	for segment := range strings.SplitSeq(path, "/") {
		ok = ok && made(segment, segmentRunes) && segment != "." && segment != ".."
	}
	if !ok {
		return fmt.Errorf("%w: not %q", ErrPrincipal, abbreviate(s))
	}
	return nil
}
