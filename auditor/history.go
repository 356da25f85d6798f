package auditor

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// Bounds of the ledger entries that one node is the first to tell of, against a node
// that fills its log with such: 200 years of ten changes a week, and two thousand
// policies of the largest size.
const (
	maxEntries    = 1 << 17
	maxEntryBytes = 512 << 20
)

// Entry is a signed ledger entry that the ledger took, as nodes recorded it.
type Entry struct {
	ID     api.Digest
	Kind   string
	Index  uint64            // in the ledger
	Time   int64             // ledger time after it, Unix milliseconds
	Nodes  []string          // in whose logs it stands, sorted
	Change *authority.Change // nil for what nodes signed
	Key    api.KeyID         // of an activation: the key that was born, unless many were
	Grant  *authority.Entry  // of a grant: as its approvers signed it
	sure   bool              // enough logs have it

	Session api.Digest // of an activation: the run in which it was born
}

// History is what the ledger took, in its order.
type History struct {
	Entries []*Entry
	Doubts  []string // what nodes say differently, or too few of them say
}

// placed is where a node says that an entry was taken.
type placed struct {
	index uint64
	time  int64
}

// recorded is a record in a node's log.
type recorded struct {
	node  string
	index uint64
}

// told is what nodes say of one entry. Its id is of what is signed alone, so that one
// entry may stand in logs with other signatures.
type told struct {
	kind string
	by   map[placed][]string
	as   map[string][]recorded // by the whole entry
}

// best is where most nodes say that the entry was taken.
func (t *told) best() placed {
	var best placed
	for at, nodes := range t.by {
		more := len(nodes) - len(t.by[best])
		if more > 0 || more == 0 && (at.index < best.index || at.index == best.index && at.time < best.time) {
			best = at
		}
	}
	return best
}

// chronicle collects entries from the logs of all nodes.
type chronicle struct {
	genesis *authority.VerifiedGenesis
	told    map[api.Digest]*told
	checked map[[32]byte]error // by the hash of a whole entry: nodes hold the same ones
	room    map[string]*room   // that is left, by node
	logs    int                // that are whole
}

// room is how many entries more a node may be the first to tell of, and of how many bytes.
type room struct{ entries, bytes int }

func newChronicle(g *authority.VerifiedGenesis) *chronicle {
	return &chronicle{genesis: g, told: map[api.Digest]*told{}, checked: map[[32]byte]error{}, room: map[string]*room{}}
}

// entryKinds are those of the records of entries that the ledger took.
var entryKinds = map[audit.Kind]bool{audit.Change: true, audit.Activate: true, audit.Grant: true}

// take reads the ledger entry in a record, if it is one of an entry that the ledger
// took. The error says that the node put something in its log that is none. Whether
// custodians signed a change, or a member a statement, is asked when it is known who
// they were.
func (c *chronicle) take(node string, r *audit.Indexed) error {
	if !entryKinds[r.Kind] || len(r.Record.Entry) == 0 {
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
	verdict, known := c.checked[sum]
	if !known {
		left := c.room[node]
		if left == nil {
			left = &room{entries: maxEntries, bytes: maxEntryBytes}
			c.room[node] = left
		}
		if left.entries--; left.entries < 0 || left.bytes < len(raw) {
			return fmt.Errorf("%w: more than %d of them, or than %d MiB", authority.ErrEntry, maxEntries, maxEntryBytes>>20)
		}
		left.bytes -= len(raw)
		verdict = c.check(e)
		c.checked[sum] = verdict
	}
	if verdict != nil {
		return verdict
	}
	t := c.told[e.ID()]
	if t == nil {
		t = &told{kind: e.Kind, by: map[placed][]string{}, as: map[string][]recorded{}}
		c.told[e.ID()] = t
	}
	at := placed{r.LedgerIndex, r.LedgerTime}
	if !slices.Contains(t.by[at], node) {
		t.by[at] = append(t.by[at], node)
	}
	t.as[string(raw)] = append(t.as[string(raw)], recorded{node, r.Index})
	return nil
}

// forget leaves out what a node told: its log is not what it signed.
func (c *chronicle) forget(node string) {
	for id, t := range c.told {
		for at, nodes := range t.by {
			if t.by[at] = slices.DeleteFunc(nodes, func(n string) bool { return n == node }); len(t.by[at]) == 0 {
				delete(t.by, at)
			}
		}
		for raw, records := range t.as {
			if t.as[raw] = slices.DeleteFunc(records, func(r recorded) bool { return r.node == node }); len(t.as[raw]) == 0 {
				delete(t.as, raw)
			}
		}
		if len(t.as) == 0 {
			delete(c.told, id)
		}
	}
}

// check holds an entry against all but those who must have signed it.
func (c *chronicle) check(e *authority.Entry) error {
	if e.Author == "" {
		_, err := authority.ParseChange(e)
		return err
	}
	var s authority.Statement
	if err := wire.Decode(e.Body, &s); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	switch s.Kind {
	case authority.KindActivate:
		var a authority.Activate
		return wire.Decode(s.Body, &a)
	case authority.KindGrant:
		_, err := grantIn(&s)
		return err
	}
	return fmt.Errorf("%w: of the kind %q", authority.ErrStatement, s.Kind)
}

// grantIn is the grant that a node put into the ledger. Who approved it, the policy
// in force says when it is used.
func grantIn(s *authority.Statement) (*authority.Entry, error) {
	var p authority.GrantPost
	if err := wire.Decode(s.Body, &p); err != nil {
		return nil, err
	}
	e, err := authority.ParseEntry(p.Entry)
	if err == nil {
		_, err = authority.ParseGrant(e)
	}
	if err == nil {
		err = authority.CheckApprovals(e)
	}
	return e, err
}

// describe reads an entry that was checked.
func describe(id api.Digest, e *authority.Entry) *Entry {
	d := &Entry{ID: id, Kind: e.Kind}
	if c, err := authority.ParseChange(e); err == nil {
		d.Change = c
		return d
	}
	var s authority.Statement
	var a authority.Activate
	if wire.Decode(e.Body, &s) != nil {
		return d
	}
	if s.Kind == authority.KindGrant {
		d.Grant, _ = grantIn(&s)
	} else if wire.Decode(s.Body, &a) == nil {
		d.Key, d.Session = authority.KeyIDOf(a.Session), a.Session
	}
	return d
}

// history orders what was told. Where nodes differ the most of them are right, as
// long as fewer than the cluster's t lie. Changes are held against the custodians of
// their time, see [authorities]; liars are the records of those that nobody signed who
// might.
func (c *chronicle) history() (h *History, liars map[string]*audit.DamagedError) {
	need := min(int(c.genesis.Root.T), c.logs) // where fewer are read, these have to do, and each entry is doubted
	first := &authorities{sure: authority.Begin(c.genesis)}
	c.read(first, need)
	h, liars = c.read(&authorities{sure: authority.Begin(c.genesis), end: first.sure}, need)
	slices.Sort(h.Doubts)
	return h, liars
}

// read goes through what was told, in the ledger's order, along some authorities.
func (c *chronicle) read(in *authorities, need int) (h *History, liars map[string]*audit.DamagedError) {
	h, liars = &History{}, map[string]*audit.DamagedError{}
	t := int(c.genesis.Root.T)
	ids := make([]api.Digest, 0, len(c.told))
	for id := range c.told {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b api.Digest) int {
		return cmp.Or(cmp.Compare(c.told[a].best().index, c.told[b].best().index), bytes.Compare(a[:], b[:]))
	})
	for _, id := range ids {
		told := c.told[id]
		best := told.best()
		sure := len(told.by[best]) >= need
		var e *Entry
		var raw []byte
		signed := map[string]bool{}
		for _, whole := range sortedKeys(told.as) {
			entry, err := authority.ParseEntry([]byte(whole))
			if err == nil {
				err = in.verify(entry, sure)
			}
			for _, r := range told.as[whole] {
				if err == nil {
					signed[r.node] = true
				} else if liars[r.node] == nil || r.index < liars[r.node].Index {
					liars[r.node] = &audit.DamagedError{Index: r.index, Segment: "records", Why: fmt.Sprintf("what it holds as a ledger entry is none: %v", err)}
				}
			}
			if err == nil {
				e, raw = describe(id, entry), []byte(whole)
			}
		}
		if e == nil {
			continue
		}
		e.Index, e.Time, e.Nodes, e.sure = best.index, best.time, sortedKeys(signed), sure
		if len(told.by) > 1 {
			h.doubt("nodes differ in where the ledger took the %s %s; most say at index %d", e.Kind, id, e.Index)
		}
		if e.Time == 0 {
			h.doubt("no log says at which ledger time the %s %s was taken: it counts as in force from the start", e.Kind, id)
		}
		if len(told.by[best]) < t {
			h.doubt("the %s %s stands in too few logs to be sure that the ledger took it at index %d: in %s; %d would do",
				e.Kind, id, e.Index, strings.Join(e.Nodes, ", "), t)
		}
		if e.Kind == authority.KindCustodians || authority.IsMembershipKind(e.Kind) {
			if err := in.follow(e, raw); err != nil {
				h.doubt("what the %s %s puts cannot follow what is in force: %v", e.Kind, id, err)
			}
		}
		h.Entries = append(h.Entries, e)
	}
	return h, liars
}

func (h *History) doubt(format string, args ...any) {
	h.Doubts = append(h.Doubts, fmt.Sprintf(format, args...))
}

// InForce is what the ledger held at one time, as far as entries tell.
type InForce struct {
	Last   *Entry                      // the newest entry up to then, or nil
	Policy *Entry                      // the policy in force, or nil
	CAs    map[string]*Entry           // by name
	Orders map[string]*authority.Order // by the name of the key
	Born   map[api.KeyID]*Entry
	// Reshares are the orders that gave keys other holders or thresholds, oldest first.
	Reshares []*authority.Renewal
	Denials  map[authority.Subject][]*Entry // revokes and seals in force
	States   map[api.KeyID]*Entry           // the change that put a key's state
	Said     map[api.KeyID]*Entry           // what says its owner, labels and expiry
	Ends     map[api.KeyID]*Entry           // the order to destroy it
	Pools    map[string]*Entry              // of keys that are born ahead, by name; those that have ended, too
	Grants   []*Entry                       // whatever their time, and whoever approved them
	Doubts   []string                       // gaps that the entries themselves show
}

// At is what was in force at a ledger time, in Unix milliseconds.
func (h *History) At(ms int64) *InForce {
	s := &InForce{
		CAs: map[string]*Entry{}, Orders: map[string]*authority.Order{}, Born: map[api.KeyID]*Entry{}, Denials: map[authority.Subject][]*Entry{},
		States: map[api.KeyID]*Entry{}, Said: map[api.KeyID]*Entry{}, Ends: map[api.KeyID]*Entry{}, Pools: map[string]*Entry{},
	}
	byID := map[api.Digest]*Entry{}
	for _, e := range h.Entries {
		if e.Time > ms {
			continue
		}
		s.Last = e
		byID[e.ID] = e
		if e.Change == nil {
			if e.Grant != nil {
				s.Grants = append(s.Grants, e)
			} else {
				s.Born[e.Key] = e
			}
			continue
		}
		if err := s.apply(e, byID); err != nil {
			s.Doubts = append(s.Doubts, fmt.Sprintf("%s %s at index %d: %v", e.Kind, e.ID, e.Index, err))
		}
	}
	return s
}

// errFewLogs is why what takes something away, or the place of something, does nothing.
// What only adds counts: it says too many rather than too few.
var errFewLogs = errors.New("it counts for nothing here, as too few logs have it")

// apply is what the ledger does with a change of this kind.
func (s *InForce) apply(e *Entry, byID map[api.Digest]*Entry) error {
	follows := func(before *Entry) error {
		if base := idOf(before); e.Change.Base != base {
			return fmt.Errorf("it replaces %s, and the one before it here is %s: an entry between them is missing", e.Change.Base, base)
		}
		return nil
	}
	if authority.IsMembershipKind(e.Kind) {
		return nil // as of custodians, below
	}
	switch e.Kind {
	case authority.KindPolicy:
		if !e.sure && s.Policy != nil {
			return errFewLogs
		}
		err := follows(s.Policy)
		s.Policy = e
		return err
	case authority.KindCA:
		var ca authority.CA
		if err := wire.Decode(e.Change.Body, &ca); err != nil {
			return err
		}
		if !e.sure && s.CAs[ca.Name] != nil {
			return errFewLogs
		}
		err := follows(s.CAs[ca.Name])
		s.CAs[ca.Name] = e
		return err
	case authority.KindCustodians:
		return nil // whom they are, [chronicle.history] has followed
	case authority.KindRefresh:
		_, err := authority.ParseRenewal(e.Change)
		return err // new shares of the same holders
	case authority.KindReshare:
		r, err := authority.ParseRenewal(e.Change)
		if err == nil {
			s.Reshares = append(s.Reshares, r)
		}
		return err
	case authority.KindKey:
		o, err := authority.ParseOrder(e.Change)
		if err == nil && !e.sure && s.Orders[o.Name] != nil {
			err = errFewLogs
		}
		if err == nil {
			if first := s.Orders[o.Name]; first != nil && o.Key != nil { // what was said at its birth is of all versions
				o.Owner, o.Labels, o.NotAfter = first.Owner, first.Labels, first.NotAfter
			}
			s.Orders[o.Name] = o
		}
		return err
	case authority.KindAdopt:
		a, err := authority.ParseAdopt(e.Change)
		if err == nil {
			o := a.Order()
			if s.Orders[o.Name] == nil {
				s.Orders[o.Name] = &o
			}
			s.Born[a.Record.Key] = e
		}
		return err
	case authority.KindEscrow:
		_, err := authority.ParseEscrow(e.Change)
		return err // what it opens, no audit of a node sees
	case authority.KindRevoke, authority.KindSeal:
		sub, err := authority.ParseDenial(e.Change)
		if err == nil && !e.sure {
			err = errFewLogs
		}
		if err == nil {
			s.Denials[sub] = append(s.Denials[sub], e)
		}
		return err
	case authority.KindPool:
		return s.applyPool(e, follows)
	case authority.KindKeyDestroy, authority.KindKeyKeep:
		return s.applyEnd(e, follows)
	case authority.KindKeyState, authority.KindKeyLabels:
		return s.applyLife(e, byID, follows)
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
