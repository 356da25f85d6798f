package api

import (
	"math"

	"warifu.dev/internal/wire"
)

// What crosses the wire with every request writes and reads itself: see
// [wire.Writer]. The tags of the fields say the same, and the tests hold both to it.

// mostTogether is for how many elements room is made before they have come.
const mostTogether = 16

// AppendWire implements [wire.Writer].
func (q UnwrapRequest) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Bytes(1, q.RequestID[:])
	f.OptText(2, q.Reason)
	f.List(3, len(q.Items))
	for i := range q.Items {
		f.Buf = q.Items[i].AppendWire(f.Buf)
	}
	f.OptText(4, q.Region)
	if len(q.Sets) > 0 {
		appendSets(&f, q.Sets)
	}
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (q *UnwrapRequest) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*q = UnwrapRequest{}
	f.Array(1, q.RequestID[:])
	q.Reason = f.OptText(2)
	n := f.List(3)
	q.Items = make([]UnwrapItem, 0, min(n, mostTogether))
	for ; n > 0 && s.OK(); n-- {
		q.Items = append(q.Items, UnwrapItem{})
		q.Items[len(q.Items)-1].ScanWire(s)
	}
	q.Region = f.OptText(4)
	q.Sets = scanSets(s, f.OptList(5))
	f.End()
}

func appendSets(f *wire.Fields, sets []uint16) {
	f.List(5, len(sets))
	for _, set := range sets {
		f.Buf = wire.AppendUint(f.Buf, uint64(set))
	}
}

func scanSets(s *wire.Scanner, n int) (sets []uint16) {
	for ; n > 0 && s.OK(); n-- {
		sets = append(sets, uint16(s.Uint(math.MaxUint16)))
	}
	return sets
}

// AppendWire implements [wire.Writer].
func (it UnwrapItem) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Bytes(1, it.Envelope)
	f.OptPairs(2, it.Context)
	f.OptBytes(3, it.Endorsement)
	f.OptTrue(4, it.Prove)
	if it.Use != nil {
		f.Key(5)
		f.Buf = it.Use.AppendWire(f.Buf)
	}
	f.OptUint(6, it.Epoch)
	return f.End()
}

// ScanWire reads what AppendWire writes. The envelope is a part of what is read.
func (it *UnwrapItem) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*it = UnwrapItem{}
	it.Envelope = f.Part(1)
	it.Context = f.OptPairs(2)
	it.Endorsement = f.OptBytes(3)
	it.Prove = f.OptTrue(4)
	if f.Opt(5) {
		it.Use = &Use{}
		it.Use.ScanWire(s)
	}
	it.Epoch = f.OptUint(6, math.MaxUint64)
	f.End()
}

// AppendWire implements [wire.Writer].
func (u Use) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Bytes(1, u.Grant[:])
	f.Uint(2, uint64(u.Slot))
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (u *Use) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*u = Use{}
	f.Array(1, u.Grant[:])
	u.Slot = uint32(f.Uint(2, math.MaxUint32))
	f.End()
}

// AppendWire implements [wire.Writer].
func (q EncryptRequest) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Bytes(1, q.RequestID[:])
	f.OptText(2, q.Reason)
	f.List(3, len(q.Items))
	for i := range q.Items {
		f.Buf = q.Items[i].AppendWire(f.Buf)
	}
	f.OptText(4, q.Region)
	appendSets(&f, q.Sets)
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (q *EncryptRequest) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*q = EncryptRequest{}
	f.Array(1, q.RequestID[:])
	q.Reason = f.OptText(2)
	n := f.List(3)
	q.Items = make([]EncryptItem, 0, min(n, mostTogether))
	for ; n > 0 && s.OK(); n-- {
		q.Items = append(q.Items, EncryptItem{})
		q.Items[len(q.Items)-1].ScanWire(s)
	}
	q.Region = f.OptText(4)
	if q.Sets = scanSets(s, f.List(5)); q.Sets == nil {
		q.Sets = []uint16{}
	}
	f.End()
}

// AppendWire implements [wire.Writer].
func (it EncryptItem) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Bytes(1, it.Key[:])
	f.Uint(2, uint64(it.Version))
	f.OptPairs(3, it.Context)
	f.Bytes(4, it.Commitment[:])
	if it.Use != nil {
		f.Key(5)
		f.Buf = it.Use.AppendWire(f.Buf)
	}
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (it *EncryptItem) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*it = EncryptItem{}
	f.Array(1, it.Key[:])
	it.Version = uint32(f.Uint(2, math.MaxUint32))
	it.Context = f.OptPairs(3)
	f.Array(4, it.Commitment[:])
	if f.Opt(5) {
		it.Use = &Use{}
		it.Use.ScanWire(s)
	}
	f.End()
}

// AppendWire implements [wire.Writer].
func (a UnwrapAnswer) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Key(1)
	f.Buf = a.Header.AppendWire(f.Buf)
	f.List(2, len(a.Items))
	for i := range a.Items {
		f.Buf = a.Items[i].AppendWire(f.Buf)
	}
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (a *UnwrapAnswer) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*a = UnwrapAnswer{}
	f.Key(1)
	a.Header.ScanWire(s)
	n := f.List(2)
	a.Items = make([]ItemAnswer, 0, min(n, mostTogether))
	for ; n > 0 && s.OK(); n-- {
		a.Items = append(a.Items, ItemAnswer{})
		a.Items[len(a.Items)-1].ScanWire(s)
	}
	f.End()
}

// AppendWire implements [wire.Writer].
func (h AnswerHeader) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Text(1, h.Node)
	f.Bytes(2, h.PolicyDigest[:])
	f.Uint(3, h.Index)
	f.Bytes(4, h.Link[:])
	f.Uint(5, h.MilestoneIndex)
	f.Bytes(6, h.MilestoneLink[:])
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (h *AnswerHeader) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*h = AnswerHeader{}
	h.Node = f.Text(1)
	f.Array(2, h.PolicyDigest[:])
	h.Index = f.Uint(3, math.MaxUint64)
	f.Array(4, h.Link[:])
	h.MilestoneIndex = f.Uint(5, math.MaxUint64)
	f.Array(6, h.MilestoneLink[:])
	f.End()
}

// AppendWire implements [wire.Writer].
func (a ItemAnswer) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	if a.Refusal != nil {
		f.Key(1)
		f.Buf = a.Refusal.AppendWire(f.Buf)
	}
	f.OptUint(2, a.Epoch)
	f.OptUint(3, uint64(a.Index))
	f.OptBytes(4, a.Partial)
	f.OptBytes(5, a.Proof)
	f.OptBytes(6, a.Endorsement)
	f.OptUint(7, uint64(a.NextSlot))
	f.OptUint(8, a.Current)
	f.OptBytes(9, a.Values)
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (a *ItemAnswer) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*a = ItemAnswer{}
	if f.Opt(1) {
		a.Refusal = &Error{}
		a.Refusal.ScanWire(s)
	}
	a.Epoch = f.OptUint(2, math.MaxUint64)
	a.Index = uint32(f.OptUint(3, math.MaxUint32))
	a.Partial = f.OptBytes(4)
	a.Proof = f.OptBytes(5)
	a.Endorsement = f.OptBytes(6)
	a.NextSlot = uint32(f.OptUint(7, math.MaxUint32))
	a.Current = f.OptUint(8, math.MaxUint64)
	a.Values = f.OptBytes(9)
	f.End()
}

// AppendWire implements [wire.Writer].
func (e *Error) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Text(1, string(e.Code))
	f.OptText(2, e.Sentence)
	f.OptTrue(3, e.Retryable)
	return f.End()
}

// ScanWire reads what AppendWire writes.
func (e *Error) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*e = Error{}
	e.Code = Code(f.Text(1))
	e.Sentence = f.OptText(2)
	e.Retryable = f.OptTrue(3)
	f.End()
}
