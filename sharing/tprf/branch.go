package tprf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
)

const (
	// branchSuite is [suite] with a branch key between the function and the item.
	branchSuite = 3
	// MaxInterval is the longest interval that a branch key is for, in seconds: a day. It
	// bounds how long what is encrypted now can be opened after a revoke.
	MaxInterval = 24 * 60 * 60
	// maxFrom bounds when an interval begins: some 35,000 years on.
	maxFrom = 1 << 40
	// MaxNames and MaxName bound the pairs that a branch names, and each name: a context
	// has no more.
	MaxNames = 16
	MaxName  = 128
)

// Where each field of an item of a branch begins.
const (
	offFrom         = offCommitment + commitmentSize
	offSeconds      = offFrom + 8
	offBranchLength = offSeconds + 4
	offBranchWho    = offBranchLength + 2

	// MinBranched is the length of the shortest item of a branch.
	MinBranched = offBranchWho + 1 + 1 + aeadOverhead + rhoSize + 1
	// MaxBranched is the length of the longest one.
	MaxBranched = offBranchWho + MaxPrincipal + 1 + MaxNames*(1+MaxName) + aeadOverhead + rhoSize + MaxDEK
)

// ErrInterval means that an interval is none: it is empty, longer than [MaxInterval], or
// does not begin at a multiple of its length.
var ErrInterval = errors.New("tprf: not an interval of a branch")

// Interval is a time that a branch key is for: that of its length which begins at a
// multiple of the length, so that two of one length are the same or apart.
type Interval struct {
	From    int64  // Unix seconds
	Seconds uint32 // how long it is
}

// Check holds the interval against its form. Failures are [ErrInterval].
func (v Interval) Check() error {
	if v.Seconds < 1 || v.Seconds > MaxInterval || v.From < 0 || v.From >= maxFrom || v.From%int64(v.Seconds) != 0 {
		return fmt.Errorf("%d seconds from %d on: %w", v.Seconds, v.From, ErrInterval)
	}
	return nil
}

// End is the first second after the interval, in Unix time.
func (v Interval) End() int64 { return v.From + int64(v.Seconds) }

// Branch is what a branch key is for: the items of one principal, in one interval, under
// contexts that agree in the pairs which the branch names. Its key opens all of these and
// nothing else, whatever their other pairs are.
type Branch struct {
	Key       Key
	Context   []byte // canonical encoding of the pairs that it names, and of no others
	Interval  Interval
	Principal string // who encrypts; a holder takes it from the connection
}

// Input is what the function is evaluated at for a branch. Its value is the branch key.
func (b Branch) Input() Input {
	return Input{tag.List(tag.BranchInput, []byte{branchSuite}, b.Key.Cluster[:], b.Key.ID[:], binary.BigEndian.AppendUint32(nil, b.Key.Version),
		b.Context, tag.Uint64(uint64(b.Interval.From)), tag.Uint64(uint64(b.Interval.Seconds)), []byte(b.Principal))}
}

// BranchKey is a released branch key. It never prints, and its owner wipes it.
type BranchKey struct {
	branch Branch
	key    secret.Bytes
}

// NewBranchKey takes the value of the function at [Branch.Input], which is the caller's to
// wipe. Whether it is the right one shows when something opens.
func NewBranchKey(b Branch, f Value) *BranchKey {
	return &BranchKey{branch: b, key: secret.Clone(f[:])}
}

// Branch says what the key is for.
func (b *BranchKey) Branch() Branch { return b.branch }

// Wipe overwrites the key.
func (b *BranchKey) Wipe() { b.key.Wipe() }

// Same reports, in constant time, whether both are one key.
func (b *BranchKey) Same(o *BranchKey) bool { return b.key.Equal(o.key) }

// String implements [fmt.Stringer].
func (b BranchKey) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (b BranchKey) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (b BranchKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// item stands in the place of the function's value, for one item.
func (b *BranchKey) item(context []byte, alpha [commitmentSize]byte) (v Value) {
	mac := hmac.New(sha256.New, b.key.Reveal())
	tag.Write(mac, tag.BranchItem, []byte{branchSuite}, context, alpha[:])
	mac.Sum(v[:0])
	return v
}

// Seal encrypts a secret of 1 to [MaxDEK] bytes as an item of the branch; nobody is asked.
// names are those of the branch's pairs, ascending, and context is the canonical encoding
// of the whole context, which has these pairs and perhaps others.
func (b *BranchKey) Seal(rand io.Reader, names []string, context []byte, dek secret.Bytes) ([]byte, error) {
	if err := b.branch.Interval.Check(); err != nil {
		return nil, err
	}
	listed, err := encodeNames(names)
	if err != nil {
		return nil, err
	}
	plain, err := committed(rand, b.branch.Principal, dek)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe()
	k, alpha := b.branch.Key, commit(plain.Reveal())
	header := slices.Concat([]byte{formatVersion, branchSuite}, k.Cluster[:], k.ID[:], binary.BigEndian.AppendUint32(nil, k.Version), alpha[:],
		binary.BigEndian.AppendUint64(nil, uint64(b.branch.Interval.From)), binary.BigEndian.AppendUint32(nil, b.branch.Interval.Seconds),
		binary.BigEndian.AppendUint16(nil, uint16(len(b.branch.Principal))), []byte(b.branch.Principal), listed)
	f := b.item(context, alpha)
	defer clear(f[:])
	return seal(f, header, plain), nil
}

// Open decrypts an item of the branch, under its whole context. What says that it is of
// another key, interval or principal is not opened, also if who has this key has made it.
// Errors are [ErrNotOpened] and [ErrCorrupt]. The caller wipes the DEK.
func (b *BranchKey) Open(c *Branched, context []byte) (secret.Bytes, error) {
	if c.Key() != b.branch.Key || c.Interval() != b.branch.Interval || c.Principal() != b.branch.Principal {
		return secret.Bytes{}, fmt.Errorf("open an item of another branch: %w", ErrNotOpened)
	}
	f := b.item(context, c.Commitment())
	defer clear(f[:])
	return unseal(f, c.raw[:c.end], c.raw[c.end:], c.Commitment())
}

// Branched is a parsed item of a branch. It never changes. Nothing in it has been checked
// but its form. Its bytes:
//
//	  0   1  format version, 1
//	  1   1  suite, 3: a branch key of replicated HMAC-SHA256, AES-256-GCM
//	  2  32  cluster
//	 34  32  key id
//	 66   4  key version, big-endian
//	 70  32  α, the commitment to ρ and the DEK
//	102   8  when the interval begins, Unix seconds, big-endian
//	110   4  its length in seconds, big-endian
//	114   2  m, the length of the principal, big-endian
//	116   m  the principal that encrypted
//	116+m 1  how many pairs the branch names, 0 to 16; then for each, ascending:
//	      1  l, the length of its name, 1 to 128
//	      l  the name
//	      n  nonce (12) ‖ AES-256-GCM of ρ (32) ‖ DEK (1 to 64) ‖ tag (16)
type Branched struct {
	raw   []byte
	who   int // end of the principal
	end   int // of the names
	names []string
}

// ParseBranched reads an item of a branch. The bytes are copied. Every refusal is an
// [ErrCiphertext].
func ParseBranched(b []byte) (*Branched, error) {
	if len(b) < MinBranched || len(b) > MaxBranched {
		return nil, fmt.Errorf("parse an item of %d bytes, not %d to %d: %w", len(b), MinBranched, MaxBranched, ErrCiphertext)
	}
	if b[0] != formatVersion || b[1] != branchSuite {
		return nil, errOther
	}
	c := &Branched{raw: bytes.Clone(b)}
	if err := c.Interval().Check(); err != nil {
		return nil, fmt.Errorf("parse an item: %w: %w", ErrCiphertext, err)
	}
	m := int(binary.BigEndian.Uint16(b[offBranchLength:]))
	c.who = offBranchWho + m
	if m < 1 || m > MaxPrincipal || c.who >= len(b) {
		return nil, fmt.Errorf("parse an item: a principal of %d bytes: %w", m, ErrCiphertext)
	}
	at := c.who + 1
	for range b[c.who] {
		if at >= len(b) || at+1+int(b[at]) > len(b) {
			return nil, fmt.Errorf("parse an item: its names are cut off: %w", ErrCiphertext)
		}
		c.names = append(c.names, string(b[at+1:at+1+int(b[at])]))
		at += 1 + int(b[at])
	}
	if _, err := encodeNames(c.names); err != nil {
		return nil, err
	}
	c.end = at
	if n := len(b) - at - aeadOverhead - rhoSize; n < 1 || n > MaxDEK {
		return nil, fmt.Errorf("parse an item: a secret of %d bytes: %w", n, ErrCiphertext)
	}
	return c, nil
}

// encodeNames writes the names of a branch's pairs, which are ascending, none twice.
func encodeNames(names []string) ([]byte, error) {
	if len(names) > MaxNames {
		return nil, fmt.Errorf("a branch of %d pairs, at most %d: %w", len(names), MaxNames, ErrCiphertext)
	}
	out := []byte{byte(len(names))}
	for i, name := range names {
		if len(name) < 1 || len(name) > MaxName {
			return nil, fmt.Errorf("a branch names a pair with %d bytes: %w", len(name), ErrCiphertext)
		}
		if i > 0 && names[i-1] >= name {
			return nil, fmt.Errorf("the names of a branch are not ascending: %w", ErrCiphertext)
		}
		out = append(append(out, byte(len(name))), name...)
	}
	return out, nil
}

// Key returns the key that the item says it was made with.
func (c *Branched) Key() Key {
	return Key{
		Cluster: [32]byte(c.raw[offCluster:offKeyID]), ID: [32]byte(c.raw[offKeyID:offVersion]),
		Version: binary.BigEndian.Uint32(c.raw[offVersion:offCommitment]),
	}
}

// Commitment returns α.
func (c *Branched) Commitment() [commitmentSize]byte {
	return [commitmentSize]byte(c.raw[offCommitment:offFrom])
}

// Interval returns the one that the item is of.
func (c *Branched) Interval() Interval {
	return Interval{From: int64(binary.BigEndian.Uint64(c.raw[offFrom:])), Seconds: binary.BigEndian.Uint32(c.raw[offSeconds:])}
}

// Principal returns who the item says has encrypted it.
func (c *Branched) Principal() string { return string(c.raw[offBranchWho:c.who]) }

// Names returns those of the pairs that its branch names, ascending.
func (c *Branched) Names() []string { return slices.Clone(c.names) }

// Bytes returns a copy of the item.
func (c *Branched) Bytes() []byte { return bytes.Clone(c.raw) }

// Branch is that of the item. context is the canonical encoding of the pairs that it
// names, and of no others.
func (c *Branched) Branch(context []byte) Branch {
	return Branch{Key: c.Key(), Context: context, Interval: c.Interval(), Principal: c.Principal()}
}
