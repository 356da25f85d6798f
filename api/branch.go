package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrInterval is returned, wrapped, for an interval that no branch key is for.
var ErrInterval = errors.New("no branch key is for such an interval")

// BranchLengths lists how long the interval of a branch may be, ascending. There are few,
// so that a policy's reader can say which of them it permits.
func BranchLengths() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}
}

// BranchSkew is how long after an interval its branch key is given out for encrypting
// still: clocks differ, and requests are under way.
const BranchSkew = 10 * time.Second

// CheckInterval holds an interval against its bounds: of one of [BranchLengths], from a
// multiple of it on, in Unix seconds. Failures are [ErrInterval].
func CheckInterval(from int64, seconds uint32) error {
	if err := CheckBranchLength(time.Duration(seconds) * time.Second); err != nil {
		return err
	}
	if from < 0 || from%int64(seconds) != 0 {
		return fmt.Errorf("%w: one of %d seconds does not begin at %d", ErrInterval, seconds, from)
	}
	return nil
}

// CheckBranchLength says whether an interval may be so long. Failures are [ErrInterval].
func CheckBranchLength(d time.Duration) error {
	if slices.Contains(BranchLengths(), d) {
		return nil
	}
	var words []string
	for _, l := range BranchLengths() {
		words = append(words, BranchLength(l))
	}
	return fmt.Errorf("%w: it is %s long, not %s", ErrInterval, d, strings.Join(words, ", "))
}

// BranchLength says a length in a word, as people write it: 15m, 6h.
func BranchLength(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// BranchRequest asks one holder of a symmetric key for its part of one or more branch
// keys. Each opens all items of its branch, whatever their other context is.
type BranchRequest struct {
	RequestID RequestID    `cbor:"1,keyasint"`
	Reason    string       `cbor:"2,keyasint,omitempty"`
	Items     []BranchItem `cbor:"3,keyasint"`
	Region    string       `cbor:"4,keyasint,omitempty"` // where the caller says it is, a name; or empty
	Sets      []uint16     `cbor:"5,keyasint"`           // those that this holder is asked for, ascending
	Each      bool         `cbor:"6,keyasint,omitempty"` // the value of each set, and not their XOR
}

// BranchItem is one branch.
type BranchItem struct {
	Key       KeyID   `cbor:"1,keyasint"`
	Version   uint32  `cbor:"2,keyasint"`
	Context   Context `cbor:"3,keyasint,omitempty"` // the pairs that it names, and no others
	From      int64   `cbor:"4,keyasint"`           // Unix seconds
	Seconds   uint32  `cbor:"5,keyasint"`           // one of [BranchLengths]
	Principal string  `cbor:"6,keyasint,omitempty"` // who encrypted; empty: the caller, who is about to
	Use       *Use    `cbor:"7,keyasint,omitempty"` // the grant it is asked by, or nil
}
