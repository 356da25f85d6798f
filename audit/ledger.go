package audit

// ledgerKinds are those of the records that say how far the ledger was taken over
// into the audit: their LedgerIndex is the newest entry that is in it.
var ledgerKinds = map[Kind]bool{Change: true, Activate: true, Ceremony: true, Start: true, Stop: true, Snapshot: true, Gap: true}

// entryKinds are those of the records that carry a whole ledger entry.
var entryKinds = map[Kind]bool{Change: true, Grant: true, Revocation: true, Activate: true}

func carriesEntry(body []byte) bool { return entryKinds[kindOf(body)] }

// Journaled returns the ledger index of the newest record that says how far the
// ledger was taken over, or 0. Opening the log finds it on the way, so it costs a
// start nothing, whatever was recorded since, and needs no archived record.
func (l *Log) Journaled() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.journaled
}

// tellsOfLedger returns the LedgerIndex of a record of ledgerKinds.
func tellsOfLedger(body []byte) (uint64, bool) {
	if !ledgerKinds[kindOf(body)] {
		return 0, false
	}
	r, err := DecodeRecord(body)
	if err != nil {
		return 0, false // no record of ours; verifying names it
	}
	return r.LedgerIndex, true
}

// kindOf reads the kind off a canonical record without decoding the rest, which
// would make opening a log several times slower: a map (RFC 8949, section 3.1)
// whose first two keys are 1, an integer, and 2, a short text. It returns "" for
// anything else.
func kindOf(body []byte) Kind {
	const (
		majorType = 0xe0
		text      = 0x60
		mapping   = 0xa0
	)
	if len(body) < 3 || body[0]&majorType != mapping || body[1] != 1 || body[2]&majorType > 0x20 {
		return ""
	}
	size := 0 // of the integer after its first byte
	if low := body[2] &^ majorType; low >= 24 && low <= 27 {
		size = 1 << (low - 24)
	}
	rest := body[3:]
	if len(rest) < size+2 || rest[size] != 2 {
		return ""
	}
	rest = rest[size+1:]
	n := int(rest[0] &^ majorType)
	if rest[0]&majorType != text {
		return ""
	}
	rest = rest[1:]
	if n == 24 && len(rest) > 0 { // a length of one byte follows
		n, rest = int(rest[0]), rest[1:]
	} else if n >= 24 {
		return ""
	}
	if n > MaxKind || n > len(rest) {
		return ""
	}
	return Kind(rest[:n])
}
