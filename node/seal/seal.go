package seal

import (
	"warifu.dev/api"
	"warifu.dev/sharing/group"
)

// State is what a node may do with its secrets.
type State string

// States of the seal.
const (
	// Unborn: the cluster's root key is not born yet.
	Unborn State = "unborn"
	// Sealed: the root share is not open.
	Sealed State = "sealed"
	// Unsealed: the root share is open and x_i·G = Y_i holds.
	Unsealed State = "unsealed"
	// Stranded: the root key lives, and this node has no share of its current
	// epoch, or one that does not fit. Only a new ceremony can mend it.
	Stranded State = "stranded"
)

// RootKey is what the ledger says of the root key once it is born.
type RootKey struct {
	Session api.Digest
	Index   uint32   // of this node, 1..h; 0 when it is no holder
	YI      [][]byte // verification keys by index, 65 bytes each
}

// RootShare is what this node has opened.
type RootShare struct {
	Session api.Digest
	Index   uint32
	Share   *group.Scalar
}

// Decide returns the state; key is nil before the birth, share is nil while no
// root share is open, and onDisk says that a sealed one was found.
func Decide(key *RootKey, share *RootShare, onDisk bool) State {
	switch {
	case key == nil && share == nil && !onDisk:
		return Unborn
	case key == nil:
		return Sealed // the ledger does not show the key (yet): a node that catches up is not unborn
	case share == nil && onDisk:
		return Sealed
	case share == nil, !fits(key, share):
		return Stranded
	default:
		return Unsealed
	}
}

// fits checks x_i·G = Y_i, under the index that the ledger gives this node.
func fits(key *RootKey, share *RootShare) bool {
	if key.Index == 0 || key.Index != share.Index || key.Session != share.Session || int(key.Index) > len(key.YI) {
		return false
	}
	yi, err := group.DecodePoint(key.YI[key.Index-1])
	return err == nil && group.BaseMul(share.Share).Equal(yi)
}
