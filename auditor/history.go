package auditor

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// maxEntries bounds the ledger entries of one export: 200 years of ten changes a week.
const maxEntries = 1 << 17

// Entry is a signed ledger entry that the ledger took, as nodes recorded it.
type Entry struct {
	ID     api.Digest
	Kind   string
	Index  uint64            // in the ledger
	Time   int64             // ledger time after it, Unix milliseconds
	Nodes  []string          // in whose logs it stands, sorted
	Change *authority.Change // nil for what nodes signed
	Key    api.KeyID         // of an activation: the key that was born
	raw    []byte
}

// History is what the ledger took, in its order.
type History struct {
	Entries []*Entry
	Doubts  []string // what nodes say differently, or too few of them say
	genesis *authority.Genesis
}

// placed is where a node says that an entry was taken.
type placed struct {
	index uint64
	time  int64
}

// told is what nodes say of one entry.
type told struct {
	entry *Entry
	by    map[placed][]string
}

// chronicle collects entries from the logs of all nodes.
type chronicle struct {
	genesis *authority.Genesis
	told    map[api.Digest]*told
	judged  map[[32]byte]error // by the hash of a whole entry: nodes hold the same ones
}

func newChronicle(g *authority.Genesis) *chronicle {
	return &chronicle{genesis: g, told: map[api.Digest]*told{}, judged: map[[32]byte]error{}}
}

// take reads the ledger entry in a record, if it is one of an entry that the ledger
// took. The error says that the node put something in its log that is none.
func (c *chronicle) take(node string, r *audit.Indexed) error {
	if r.Kind != audit.Change && r.Kind != audit.Activate || len(r.Record.Entry) == 0 {
		return nil
	}
	raw := r.Record.Entry
	e, err := authority.ParseEntry(raw)
	if err != nil {
		return err
	}
	if e.ID() != r.EntryID {
		return fmt.Errorf("%w: it is recorded under the id %x", authority.ErrEntry, r.EntryID)
	}
	sum := sha256.Sum256(raw)
	verdict, known := c.judged[sum]
	if !known {
		if len(c.judged) >= maxEntries {
			return fmt.Errorf("%w: more than %d of them", authority.ErrEntry, maxEntries)
		}
		verdict = c.judge(e)
		c.judged[sum] = verdict
	}
	if verdict != nil {
		return verdict
	}
	t := c.told[e.ID()]
	if t == nil {
		t = &told{entry: describe(e, raw), by: map[placed][]string{}}
		c.told[e.ID()] = t
	}
	at := placed{r.LedgerIndex, r.LedgerTime}
	if !slices.Contains(t.by[at], node) {
		t.by[at] = append(t.by[at], node)
	}
	return nil
}

// judge asks whether those signed an entry who may.
func (c *chronicle) judge(e *authority.Entry) error {
	if authority.IsChangeKind(e.Kind) {
		_, err := authority.VerifyChange(c.genesis, e)
		return err
	}
	s, err := authority.VerifyStatement(c.genesis, e)
	if err != nil {
		return err
	}
	if s.Kind != authority.KindActivate {
		return fmt.Errorf("%w: of the kind %q", authority.ErrStatement, s.Kind)
	}
	var a authority.Activate
	return wire.Decode(s.Body, &a)
}

// describe reads an entry that was judged.
func describe(e *authority.Entry, raw []byte) *Entry {
	d := &Entry{ID: e.ID(), Kind: e.Kind, raw: raw}
	if c, err := authority.ParseChange(e); err == nil {
		d.Change = c
		return d
	}
	var s authority.Statement
	var a authority.Activate
	if wire.Decode(e.Body, &s) == nil && wire.Decode(s.Body, &a) == nil {
		d.Key = authority.KeyIDOf(a.Session)
	}
	return d
}

// history orders what was told. Where nodes differ the most of them are right, as
// long as fewer than the cluster's t lie.
func (c *chronicle) history() *History {
	h := &History{genesis: c.genesis}
	t := int(c.genesis.Root.T)
	for id, told := range c.told {
		e := told.entry
		var best placed
		all := map[string]bool{}
		for at, nodes := range told.by {
			for _, n := range nodes {
				all[n] = true
			}
			was := len(told.by[best])
			if len(nodes) > was || len(nodes) == was && (was == 0 || at.index < best.index || at.index == best.index && at.time < best.time) {
				best = at
			}
		}
		e.Index, e.Time = best.index, best.time
		e.Nodes = sortedKeys(all)
		if len(told.by) > 1 {
			h.doubt("nodes differ in where the ledger took the %s %s; most say at index %d", e.Kind, id, e.Index)
		}
		if len(told.by[best]) < t {
			h.doubt("the %s %s stands in too few logs to be sure that the ledger took it at index %d: in %s; %d would do",
				e.Kind, id, e.Index, strings.Join(e.Nodes, ", "), t)
		}
		h.Entries = append(h.Entries, e)
	}
	slices.SortFunc(h.Entries, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	slices.Sort(h.Doubts)
	return h
}

func (h *History) doubt(format string, args ...any) {
	h.Doubts = append(h.Doubts, fmt.Sprintf(format, args...))
}

// InForce is what the ledger held at one time, as far as entries tell.
type InForce struct {
	Last    *Entry                      // the newest entry up to then, or nil
	Policy  *Entry                      // the policy in force, or nil
	CAs     map[string]*Entry           // by name
	Orders  map[string]*authority.Order // by the name of the key
	Born    map[api.KeyID]*Entry
	Denials map[authority.Subject][]*Entry // revokes and seals in force
	Doubts  []string                       // gaps that the entries themselves show
}

// At is what was in force at a ledger time, in Unix milliseconds.
func (h *History) At(ms int64) *InForce {
	s := &InForce{
		CAs: map[string]*Entry{}, Orders: map[string]*authority.Order{}, Born: map[api.KeyID]*Entry{}, Denials: map[authority.Subject][]*Entry{},
	}
	byID := map[api.Digest]*Entry{}
	for _, e := range h.Entries {
		if e.Time > ms {
			continue
		}
		s.Last = e
		byID[e.ID] = e
		if e.Change == nil {
			s.Born[e.Key] = e
			continue
		}
		if err := s.apply(e, byID); err != nil {
			s.Doubts = append(s.Doubts, fmt.Sprintf("%s %s at index %d: %v", e.Kind, e.ID, e.Index, err))
		}
	}
	return s
}

// apply is what the ledger does with a change of this kind.
func (s *InForce) apply(e *Entry, byID map[api.Digest]*Entry) error {
	follows := func(before *Entry) error {
		if base := idOf(before); e.Change.Base != base {
			return fmt.Errorf("it replaces %s, and the one before it here is %s: an entry between them is missing", e.Change.Base, base)
		}
		return nil
	}
	switch e.Kind {
	case authority.KindPolicy:
		err := follows(s.Policy)
		s.Policy = e
		return err
	case authority.KindCA:
		var ca authority.CA
		if err := wire.Decode(e.Change.Body, &ca); err != nil {
			return err
		}
		err := follows(s.CAs[ca.Name])
		s.CAs[ca.Name] = e
		return err
	case authority.KindKey:
		o, err := authority.ParseOrder(e.Change)
		if err == nil {
			s.Orders[o.Name] = o
		}
		return err
	case authority.KindRevoke, authority.KindSeal:
		sub, err := authority.ParseDenial(e.Change)
		if err == nil {
			s.Denials[sub] = append(s.Denials[sub], e)
		}
		return err
	case authority.KindLift:
		id, err := authority.ParseLift(e.Change)
		if err != nil {
			return err
		}
		if lifted := byID[id]; lifted != nil {
			for sub, by := range s.Denials {
				s.Denials[sub] = slices.DeleteFunc(by, func(d *Entry) bool { return d == lifted })
			}
		}
		return nil
	}
	return fmt.Errorf("%w: this program does not know what it does", authority.ErrChange)
}

func idOf(e *Entry) api.Digest {
	if e == nil {
		return api.Digest{}
	}
	return e.ID
}

// denied returns what denies one of these subjects, or nil.
func (s *InForce) denied(subjects ...authority.Subject) *Entry {
	for _, sub := range subjects {
		if by := s.Denials[sub]; len(by) > 0 {
			return by[0]
		}
	}
	return nil
}
