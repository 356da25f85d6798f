package audit

import "warifu.dev/internal/wire"

// AppendWire implements [wire.Writer]: a record is written with every release.
func (r *Record) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Int(1, r.Time)
	f.Text(2, string(r.Kind))
	f.OptText(3, r.Node)
	optArray(&f, 4, r.RequestID[:])
	f.OptText(5, r.Principal)
	f.OptText(6, r.Source)
	f.OptText(7, r.Session)
	f.OptText(8, r.Action)
	optArray(&f, 9, r.Key[:])
	f.OptText(10, r.KeyName)
	f.OptUint(11, uint64(r.Version))
	f.OptUint(12, r.Epoch)
	f.OptText(13, r.Reason)
	optArray(&f, 14, r.Context[:])
	optArray(&f, 15, r.Envelope[:])
	f.OptText(16, r.Code)
	if len(r.Rules) > 0 {
		f.List(17, len(r.Rules))
		for _, rule := range r.Rules {
			f.Buf = wire.AppendText(f.Buf, rule)
		}
	}
	optArray(&f, 18, r.PolicyDigest[:])
	f.OptUint(19, r.LedgerIndex)
	optArray(&f, 20, r.EntryID[:])
	f.OptBytes(21, r.Entry)
	f.OptUint(22, r.Count)
	f.OptText(23, r.Why)
	f.OptUint(24, r.LedgerFrom)
	optArray(&f, 25, r.Grant[:])
	f.OptInt(26, r.LedgerTime)
	f.OptUint(27, uint64(r.Slot))
	f.OptText(28, r.Region)
	f.OptInt(29, r.BranchFrom)
	f.OptUint(30, uint64(r.Branch))
	f.OptText(31, r.Writer)
	return f.End()
}

// optArray writes an identifier that is not of zeros.
func optArray(f *wire.Fields, key byte, v []byte) {
	for _, b := range v {
		if b != 0 {
			f.Bytes(key, v)
			return
		}
	}
}
