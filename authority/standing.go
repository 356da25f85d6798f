package authority

import "warifu.dev/internal/wire"

// Bounds of the standing order, in seconds: a rotation overlaps for a minute, and ledger
// time is good to a minute.
const (
	MinRotate = 3600
	MaxRotate = 10 * 366 * 24 * 3600
)

// policyDocument is a policy document as the ledger reads it, which does not look at what
// the texts in it say. Package policy has the whole.
type policyDocument struct {
	Format   uint64 `cbor:"1,keyasint"`
	Text     string `cbor:"2,keyasint"`
	Schema   string `cbor:"3,keyasint,omitempty"`
	Entities string `cbor:"4,keyasint,omitempty"`
	Zone     string `cbor:"5,keyasint,omitempty"`
	Limits   string `cbor:"6,keyasint,omitempty"`
	Rotate   uint64 `cbor:"7,keyasint,omitempty"`
}

// RotationPeriod is the standing order of an encoded policy document: after how many
// milliseconds shares are rotated, or 0 for never. What is no such document orders nothing.
func RotationPeriod(document []byte) int64 {
	var d policyDocument
	if wire.Decode(document, &d) != nil || d.Rotate < MinRotate || d.Rotate > MaxRotate {
		return 0
	}
	return int64(d.Rotate) * 1000
}

// Standing says that the period of the policy's standing order is over, by ledger time:
// all named keys are refreshed.
type Standing struct {
	Due int64 `cbor:"1,keyasint"` // ledger time at which it was over, Unix milliseconds
}
