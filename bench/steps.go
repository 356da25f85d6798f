package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// Whose a step is.
const (
	Yardstick = "yardstick" // what all others are compared with
	AtNode    = "node"      // at each node asked
	AtClient  = "client"
	Offline   = "offline" // no part of an unwrap
)

// How a record gets into the audit: of the two steps, an unwrap takes one.
const (
	AuditAlone  = "alone"  // with a sync of its own
	AuditShared = "shared" // many records share one sync
	DecidedAnew = "anew"   // a policy is asked what it was not asked before
)

// Step is one part of an unwrap: what it costs alone, on one core.
type Step struct {
	Who   string        `json:"who"`
	Name  string        `json:"name"`
	CPU   time.Duration `json:"cpu_ns"`
	Wall  time.Duration `json:"wall_ns"`
	When  string        `json:"when,omitempty"` // one of these; empty: always
	Ratio float64       `json:"ratio"`          // of CPU to one variable-base multiplication
}

// The key that the steps are measured with is the demo's shape.
const (
	stepT, stepH = 3, 5
	groupCommit  = 64 // appends that share a sync
)

// stepTime is how long one step is repeated: enough for the clock of getrusage,
// which counts microseconds.
const stepTime = 250 * time.Millisecond

// Steps measures each step of one unwrap by the functions that nodes and clients
// call. dir is where the audit's disk is; empty means the temporary directory.
func Steps(dir string) ([]Step, error) {
	b, err := newBench(dir, stepT, stepH)
	if err != nil {
		return nil, err
	}
	defer b.close()
	var out []Step
	for _, s := range b.steps() {
		cpu, wall, err := repeat(s.do)
		if err != nil {
			return nil, fmt.Errorf("measure %q: %w", s.name, err)
		}
		if s.each > 1 {
			cpu, wall = cpu/time.Duration(s.each), wall/time.Duration(s.each)
		}
		step := Step{Who: s.who, Name: s.name, When: s.when, CPU: cpu, Wall: wall, Ratio: 1}
		if len(out) > 0 {
			step.Ratio = float64(cpu) / float64(out[0].CPU)
		}
		out = append(out, step)
	}
	return out, nil
}

// repeat calls do for [stepTime], and returns what one call takes.
func repeat(do func() error) (cpu, wall time.Duration, err error) {
	if err := do(); err != nil { // caches, lazily made tables
		return 0, 0, err
	}
	const look = 8 // calls between two looks at the clock
	began, used, n := time.Now(), ownCPU(), 0
	for time.Since(began) < stepTime {
		for range look {
			if err := do(); err != nil {
				return 0, 0, err
			}
		}
		n += look
	}
	wall = time.Since(began) / time.Duration(n)
	return (ownCPU() - used) / time.Duration(n), wall, nil
}

// workbench holds what the steps work on.
type workbench struct {
	tmp         string
	log         *audit.Log
	policy      *policy.Policy
	pk          *tdh2.PublicKey
	share       *group.Scalar
	endorsement secret.Bytes
	dek         secret.Bytes
	canonical   []byte
	envelope    []byte
	parsed      *tdh2.Envelope
	verified    *tdh2.VerifiedEnvelope
	partials    map[sharing.Index]*group.Point
	encoded     [][]byte // the partials, as they travel
	request     []byte   // framed
	answer      []byte   // framed
	record      audit.Record
	asked       uint64 // keys that its policy was asked about
}

// newBench makes a workbench with a key of h holders, t of which open an envelope.
func newBench(dir string, t, h int) (_ *workbench, err error) {
	b := &workbench{canonical: benchContext.Canonical(), dek: secret.New(make([]byte, 32)), endorsement: secret.New(make([]byte, tdh2.EndorsementKeySize))}
	if b.tmp, err = os.MkdirTemp(dir, "warifu-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err := b.makeKey(t, h); err != nil {
		return nil, err
	}
	if err := b.openLog(); err != nil {
		return nil, err
	}
	b.policy, err = policy.Compile(policy.Document{
		Format: policy.Format,
		Text: `@id("apps-may-unwrap") permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrap", resource == Warifu::Key::"bench");
			@id("no-training-data") forbid (principal, action, resource)
			when { context.envelope has purpose && context.envelope.purpose == "training" };`,
		Entities: `[{"uid": {"type": "Warifu::Principal", "id": "spiffe://trial/app"},
			"parents": [{"type": "Warifu::Group", "id": "apps"}], "attrs": {}}]`,
	})
	if err != nil {
		return nil, err
	}
	if !b.policy.Decide(b.decision()).Allowed {
		return nil, errors.New("bench: its policy does not permit what it asks")
	}
	b.messages()
	return b, nil
}

// makeKey deals a key, as no cluster does, to have shares at hand.
func (b *workbench) makeKey(t, h int) error {
	poly, err := sharing.NewPolynomial(rand.Reader, t)
	if err != nil {
		return err
	}
	var cluster, key [32]byte
	rand.Read(cluster[:])
	rand.Read(key[:])
	if b.pk, err = tdh2.NewPublicKey(cluster, key, 1, t, h, poly.Commit().Constant()); err != nil {
		return err
	}
	if b.envelope, err = tdh2.Wrap(rand.Reader, b.pk, b.canonical, b.dek); err != nil {
		return err
	}
	if b.parsed, err = tdh2.Parse(b.envelope); err != nil {
		return err
	}
	if b.verified, err = b.pk.Verify(b.parsed, b.canonical); err != nil {
		return err
	}
	b.share = poly.Eval(1)
	b.partials = map[sharing.Index]*group.Point{}
	for i := range t {
		p := b.verified.Partial(poly.Eval(sharing.Index(i + 1)))
		b.partials[sharing.Index(i+1)], b.encoded = p, append(b.encoded, p.Bytes())
	}
	return nil
}

func (b *workbench) openLog() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	b.log, err = audit.Open(audit.Config{
		Dir: filepath.Join(b.tmp, "audit"), Origin: "warifu/bench/node", Public: &key.PublicKey,
		Signer: func(msg []byte) ([]byte, error) {
			digest := sha256.Sum256(msg)
			return ecdsa.SignASN1(rand.Reader, key, digest[:])
		},
		ReserveBytes: 1 << 20, // this log is never full
	})
	b.record = audit.Record{
		Time: time.Now().UnixMilli(), Kind: audit.Release, Node: "jp-east-1", Principal: "spiffe://trial/app",
		Source: "127.0.0.1", Action: policy.Unwrap, Key: b.pk.KeyID, KeyName: "bench", Version: 1, Epoch: 1, Reason: reason,
		Context: sha256.Sum256(b.canonical), Envelope: b.parsed.Hash(), Rules: []string{"apps-may-unwrap"},
		PolicyDigest: sha256.Sum256(nil), LedgerIndex: 1000,
	}
	rand.Read(b.record.RequestID[:])
	return err
}

// call and result have the shape of what transport sends around each message.
type call struct {
	ID        uint64 `cbor:"1,keyasint"`
	Method    uint16 `cbor:"2,keyasint"`
	TimeoutMS uint32 `cbor:"3,keyasint,omitempty"`
	Body      []byte `cbor:"4,keyasint,omitempty"`
}

type result struct {
	ID   uint64 `cbor:"1,keyasint"`
	Body []byte `cbor:"5,keyasint,omitempty"`
}

// AppendWire implements [wire.Writer], as transport's does.
func (c *call) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Uint(1, c.ID)
	f.Uint(2, uint64(c.Method))
	f.OptUint(3, uint64(c.TimeoutMS))
	f.OptBytes(4, c.Body)
	return f.End()
}

// ScanWire implements [wire.Reader].
func (c *call) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*c = call{ID: f.Uint(1, math.MaxUint64), Method: uint16(f.Uint(2, math.MaxUint16)), TimeoutMS: uint32(f.OptUint(3, math.MaxUint32)), Body: f.OptPart(4)}
	f.End()
}

// AppendWire implements [wire.Writer].
func (r *result) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Uint(1, r.ID)
	f.OptBytes(5, r.Body)
	return f.End()
}

// ScanWire implements [wire.Reader].
func (r *result) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*r = result{ID: f.Uint(1, math.MaxUint64), Body: f.OptPart(5)}
	f.End()
}

func framed(v any) []byte {
	b := wire.Encode(v)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...)
}

func (b *workbench) messages() {
	b.request, b.answer = b.encodeRequest(), b.encodeAnswer()
}

func (b *workbench) encodeRequest() []byte {
	return framed(&call{ID: 1, Method: api.MethodUnwrap, TimeoutMS: 4000, Body: wire.Encode(api.UnwrapRequest{
		RequestID: b.record.RequestID, Reason: reason,
		Items: []api.UnwrapItem{{Envelope: b.envelope, Context: benchContext}},
	})})
}

func (b *workbench) encodeAnswer() []byte {
	return framed(&result{ID: 1, Body: wire.Encode(api.UnwrapAnswer{
		Header: api.AnswerHeader{Node: "jp-east-1", Index: 1000, MilestoneIndex: 1000},
		Items:  []api.ItemAnswer{{Epoch: 1, Index: 1, Partial: b.partials[1].Bytes(), Endorsement: make([]byte, tdh2.EndorsementSize)}},
	})})
}

func (b *workbench) decision() policy.Request {
	return policy.Request{
		Principal: "spiffe://trial/app", Action: policy.Unwrap, KeyID: b.pk.KeyID, KeyName: "bench", Context: benchContext,
		SourceIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), NodeRegion: "jp-east", Reason: reason, Now: time.Now(),
	}
}

// decideAnew asks about a key that nobody asked about before: no answer is remembered.
func (b *workbench) decideAnew() error {
	q := b.decision()
	b.asked++
	binary.BigEndian.PutUint64(q.KeyID[:], b.asked)
	if !b.policy.Decide(q).Allowed {
		return errors.New("denied")
	}
	return nil
}

// step is something to repeat; each says how many unwraps one call stands for.
type step struct {
	who, name, when string
	each            int
	do              func() error
}

func (b *workbench) steps() []step {
	ctx := context.Background()
	return []step{
		{Yardstick, "P-256, one variable-base multiplication", "", 1, func() error { b.parsed.U().Mul(b.share); return nil }},
		{AtNode, "decode the request's frame", "", 1, func() error { return decode[api.UnwrapRequest, call](b.request) }},
		{AtNode, "parse the envelope", "", 1, func() error { _, err := tdh2.Parse(b.envelope); return err }},
		{AtNode, "decide by policy", DecidedAnew, 1, b.decideAnew},
		{AtNode, "decide by policy, the same again", "", 1, func() error {
			if !b.policy.Decide(b.decision()).Allowed {
				return errors.New("denied")
			}
			return nil
		}},
		{AtNode, "verify the envelope's proof", "", 1, func() error { _, err := b.pk.Verify(b.parsed, b.canonical); return err }},
		{AtNode, "append to the audit and sync, alone", AuditAlone, 1, func() error { _, err := b.log.Append(ctx, b.record); return err }},
		{AtNode, fmt.Sprintf("append to the audit and sync, %d at a time, each", groupCommit), AuditShared, groupCommit, func() error { return b.appendMany(ctx) }},
		{AtNode, "make the partial", "", 1, func() error { b.verified.Partial(b.share); return nil }},
		{AtNode, "endorse the envelope", "", 1, func() error {
			tdh2.Endorse(b.endorsement, "jp-east-1", b.pk, b.canonical, b.parsed)
			return nil
		}},
		{AtNode, "encode the answer's frame", "", 1, func() error { b.encodeAnswer(); return nil }},
		{AtClient, "parse the envelope", "", 1, func() error {
			e, err := tdh2.Parse(b.envelope)
			if err == nil {
				_, err = b.pk.Address(e, b.canonical)
			}
			return err
		}},
		{AtClient, fmt.Sprintf("encode %d requests' frames", stepT), "", 1, func() error {
			for range stepT {
				b.encodeRequest()
			}
			return nil
		}},
		{AtClient, fmt.Sprintf("decode %d answers' frames", stepT), "", 1, func() error {
			for range stepT {
				if err := decode[api.UnwrapAnswer, result](b.answer); err != nil {
					return err
				}
			}
			return nil
		}},
		{AtClient, fmt.Sprintf("decode %d partials", stepT), "", 1, func() error {
			for _, encoded := range b.encoded {
				if _, err := group.DecodePoint(encoded); err != nil {
					return err
				}
			}
			return nil
		}},
		{AtClient, fmt.Sprintf("combine %d partials and open", stepT), "", 1, func() error { _, err := b.pk.Open(b.verified, b.partials); return err }},
		{Offline, "wrap a data key", "", 1, func() error {
			_, err := tdh2.Wrap(rand.Reader, b.pk, b.canonical, b.dek)
			return err
		}},
	}
}

// decode reads a frame, and the message in it.
func decode[M, F any](framed []byte) error {
	var f F
	if err := wire.Decode(framed[4:], &f); err != nil {
		return err
	}
	var m M
	switch f := any(f).(type) {
	case call:
		return wire.Decode(f.Body, &m)
	case result:
		return wire.Decode(f.Body, &m)
	}
	panic("bench: a frame of another shape")
}

// appendMany appends records at a time, so that they share syncs.
func (b *workbench) appendMany(ctx context.Context) error {
	errs := make([]error, groupCommit)
	var all sync.WaitGroup
	for i := range groupCommit {
		all.Go(func() { _, errs[i] = b.log.Append(ctx, b.record) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (b *workbench) close() {
	if b.log != nil {
		_ = b.log.Close() // it is removed in the next line
	}
	_ = os.RemoveAll(b.tmp)
}
