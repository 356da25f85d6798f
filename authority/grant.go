package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// The actions that a grant can be for: opening envelopes, and, of a symmetric key, making
// them and holding branch keys.
const (
	ActionUnwrap  = "unwrap"
	ActionEncrypt = "encrypt"
	// ActionUnwrapBranch is holding the key of a branch: one branch with each use.
	ActionUnwrapBranch = "unwrapBranch"
)

// Bounds of a grant. Every node keeps each of its uses until it has expired.
const (
	// MaxUses is the most uses of one grant: what people mean when they count.
	MaxUses = 1000
	// MaxGrantWindow is the longest time from not-before to not-after, and the
	// furthest that not-after may lie ahead of ledger time, in milliseconds: 31 days.
	MaxGrantWindow = 31 * 24 * 60 * 60 * 1000
)

// ErrGrant is returned, wrapped, for a grant that breaks a rule of form.
var ErrGrant = errors.New("not a usable grant")

// Grant lets one principal do one thing with one key, u times, in a window of time.
// Those whose keys the signed policy names approve it; who they are, and how many
// are enough, each holder reads in its own policy, when it is used.
type Grant struct {
	Cluster   api.ClusterID `cbor:"1,keyasint"`
	Key       api.KeyID     `cbor:"2,keyasint"`
	Principal string        `cbor:"3,keyasint"` // SPIFFE ID
	Action    string        `cbor:"4,keyasint"` // [ActionUnwrap], [ActionEncrypt] or [ActionUnwrapBranch]
	Reason    string        `cbor:"5,keyasint"` // why; at most [api.MaxReason] bytes
	NotBefore int64         `cbor:"6,keyasint"` // Unix milliseconds, by the clock of the node that is asked
	NotAfter  int64         `cbor:"7,keyasint"` // by ledger time, and by the clock of the node that is asked
	Uses      uint32        `cbor:"8,keyasint"` // 1 to [MaxUses]: slots 1, 2, ... of each holder
	Nonce     [16]byte      `cbor:"9,keyasint"`
}

// GrantPost carries a grant into the ledger, in the name of the node that signs the
// statement. It says nothing about the grant but that it was handed over.
type GrantPost struct {
	Entry []byte `cbor:"1,keyasint"` // of a grant, with its approvers' signatures
}

// NewGrant makes an unsigned entry of g. It is how a grant travels among those who
// approve it; its id is the grant's.
func NewGrant(g Grant) *Entry { return &Entry{Kind: KindGrant, Body: wire.Encode(g)} }

// ParseGrant reads the grant inside an entry and holds form, bounds and frame. It
// looks at no signature. Failures wrap [ErrGrant].
func ParseGrant(e *Entry) (*Grant, error) {
	var g Grant
	if e.Author != "" || e.Kind != KindGrant {
		return nil, fmt.Errorf("%w: a frame of the kind %.40q by %.70q", ErrGrant, e.Kind, e.Author)
	}
	if err := wire.Decode(e.Body, &g); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGrant, err)
	}
	return &g, g.Check()
}

// Check holds the grant against every rule that takes no ledger. Failures wrap
// [ErrGrant].
func (g *Grant) Check() error {
	if err := api.CheckPrincipal(g.Principal); err != nil {
		return fmt.Errorf("%w: %w", ErrGrant, err)
	}
	switch {
	case g.Key == api.KeyID{}:
		return fmt.Errorf("%w: it names no key", ErrGrant)
	case g.Action != ActionUnwrap && g.Action != ActionEncrypt && g.Action != ActionUnwrapBranch:
		return fmt.Errorf("%w: there is no action %.40q", ErrGrant, g.Action)
	case g.Reason == "" || len(g.Reason) > api.MaxReason || !utf8.ValidString(g.Reason):
		return fmt.Errorf("%w: a reason has 1 to %d bytes of UTF-8", ErrGrant, api.MaxReason)
	case g.NotBefore <= 0 || g.NotAfter <= g.NotBefore || g.NotAfter-g.NotBefore > MaxGrantWindow:
		return fmt.Errorf("%w: its window is from %d to %d, of at most %d ms", ErrGrant, g.NotBefore, g.NotAfter, int64(MaxGrantWindow))
	case g.Uses < 1 || g.Uses > MaxUses:
		return fmt.Errorf("%w: %d uses, from 1 to %d are possible", ErrGrant, g.Uses, MaxUses)
	}
	return nil
}

// CheckApprovals holds the list of signatures against its form: at least one, in the
// order of the signers, none twice. Whose they are, and whether they verify, takes
// the policy ([Approvers]).
func CheckApprovals(e *Entry) error {
	if len(e.Signatures) == 0 {
		return fmt.Errorf("%w: nobody has signed it", ErrGrant)
	}
	for i, s := range e.Signatures {
		if len(s.ASN1) == 0 || len(s.ASN1) > MaxSignatureSize {
			return fmt.Errorf("%w: a signature of %d bytes", ErrGrant, len(s.ASN1))
		}
		if i > 0 && bytes.Compare(e.Signatures[i-1].Signer[:], s.Signer[:]) >= 0 {
			return fmt.Errorf("%w: its signatures are out of order, or one signer has two", ErrGrant)
		}
	}
	return nil
}

// SignGrant adds an approver's signature to e. Signing twice changes nothing.
func SignGrant(rand io.Reader, e *Entry, signer *Signer) error {
	if _, err := ParseGrant(e); err != nil {
		return err
	}
	sig, err := signer.Sign(rand, tag.GrantSignature, e.Body)
	if err != nil {
		return err
	}
	e.Signatures = addSignature(e.Signatures, sig)
	return nil
}

// Approvers lists which of the given public keys have signed the grant, each once,
// in the order of the list. Signatures of others, and such as do not verify, count
// for nothing.
func Approvers(e *Entry, keys [][]byte) [][]byte {
	var out [][]byte
	for i, key := range keys {
		if containsKey(keys[:i], key) {
			continue
		}
		signer := FingerprintOf(key)
		for _, s := range e.Signatures {
			if s.Signer == signer && s.Verify(key, tag.GrantSignature, e.Body) == nil {
				out = append(out, key)
				break
			}
		}
	}
	return out
}

func containsKey(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// UsesBound is how many different requests can be released by a grant of u uses, when
// f of the key's h holders lie and t partials open: floor(u(h-f)/(t-f)). A request
// takes a slot of at least t-f honest holders, and the h-f of them have u each. The
// slots need not be of one number at all holders, so that even with 2t > h+f it is
// more than u, but for u = 1. f < t.
func UsesBound(u, h, t, f int) int { return u * (h - f) / (t - f) }
