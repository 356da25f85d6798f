package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxOrigin bounds the origin line, a name and no text.
	maxOrigin = 128
	// maxCheckpoint bounds a signed checkpoint: three lines and a signature.
	maxCheckpoint = 1 << 10
	// maxSize keeps tree sizes where tlog's arithmetic cannot overflow.
	maxSize = 1 << 52
)

// ErrBadCheckpoint is returned, wrapped, for a checkpoint that is malformed, of
// another log, or not signed by this node's key.
var ErrBadCheckpoint = errors.New("bad audit checkpoint")

// Checkpoint is a verified checkpoint; only [ParseCheckpoint] makes one.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// ParseCheckpoint verifies a C2SP tlog-checkpoint signed by pub: ECDSA P-256
// over SHA-256 of the text, key id as in C2SP signed-note for ECDSA keys.
func ParseCheckpoint(signed []byte, pub *ecdsa.PublicKey) (Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes, at most %d", ErrBadCheckpoint, len(signed), maxCheckpoint)
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	v, err := newVerifier(origin, pub)
	if err != nil {
		return Checkpoint{}, err
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: not three lines", ErrBadCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > maxSize || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: size", ErrBadCheckpoint)
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%w: root", ErrBadCheckpoint)
	}
	return Checkpoint{Origin: origin, Size: size, Root: [32]byte(root)}, nil
}

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

func (c Checkpoint) sign(s note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, s)
}

// verifier implements [note.Verifier] for an ECDSA key.
type verifier struct {
	name string
	hash uint32
	pub  *ecdsa.PublicKey
}

func newVerifier(origin string, pub *ecdsa.PublicKey) (*verifier, error) {
	if origin == "" || len(origin) > maxOrigin || !isPrintable(origin) || strings.ContainsAny(origin, " +") {
		return nil, fmt.Errorf("%w: origin %q", ErrBadCheckpoint, printable(origin, maxOrigin))
	}
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: not a P-256 key", ErrBadCheckpoint)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	sum := sha256.Sum256(spki)
	return &verifier{name: origin, hash: binary.BigEndian.Uint32(sum[:]), pub: pub}, nil
}

func (v *verifier) Name() string    { return v.name }
func (v *verifier) KeyHash() uint32 { return v.hash }

func (v *verifier) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.pub, sum[:], sig)
}

// signer implements [note.Signer] with the node's key.
type signer struct {
	*verifier
	sign func(msg []byte) ([]byte, error)
}

func (s signer) Sign(msg []byte) ([]byte, error) {
	sig, err := s.sign(msg)
	if err != nil {
		return nil, err
	}
	if !s.Verify(msg, sig) {
		return nil, errors.New("the signer does not hold the public key's other half")
	}
	return bytes.Clone(sig), nil
}
