package ledger

import (
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
)

// Milestone is the distance between the indices at which nodes sign the chain.
const Milestone = 1000

// Paths of the state.
const (
	pathChange   = "change/"   // + id → *Taken
	pathPolicy   = "policy"    // → *Policy
	pathCA       = "ca/"       // + name → *CA
	pathOrder    = "order/"    // + hash → *Ordered
	pathName     = "name/"     // + name → *named
	pathSession  = "session/"  // + id → *Session
	pathKey      = "key/"      // + id + "/" + version → *Key
	pathAnchor   = "anchor/"   // + node → *Anchored
	pathAddress  = "address/"  // + node → *Address
	pathLock     = "lock/"     // + node → *Locks
	pathGrants   = "grants/"   // + node → *Grants
	pathTime     = "time"      // → *ledgerTime
	pathRevoked  = "revoked/"  // + kind of subject + "/" + name → *revoked
	pathDenial   = "denial/"   // + id → *Denial
	pathLifted   = "lifted/"   // + id → *Lifted
	pathDrill    = "drill/"    // + fingerprint of a custodian → *Drilled
	pathCustody  = "custody/"  // + number → *Successor
	pathProposal = "proposal/" // + id of the change → *Proposal
	pathRotation = "rotation/" // + id of the key → *named: the order of its next version
	pathPeriod   = "period/"   // + id of the key → *named: the order of its newest version, which has a period
	pathLife     = "life/"     // + id of the key → *Life
	pathTrust    = "trust"     // → *trustMoved
	pathStone    = "stone"     // → *milestone
	pathEnded    = "ended"     // → *ended
	pathRenewal  = "renewal/"  // + id of the order → *Renewal, not done
	pathRenewed  = "renewed/"  // + id of the order → *Renewal, done
	pathOlder    = "older/"    // + id + "/" + version → *Older
	pathErased   = "erased/"   // + id + "/" + version + "/" + first epoch → *Past
	pathReceipt  = "receipt/"  // + id of the entry → *Receipt
	pathRepair   = "repair/"   // node id → *lastRepair
	pathRotated  = "rotated"   // → *rotated
	pathDataset  = "dataset/"  // + id of the key → *Datasets
	pathDatasets = "datasets"  // → *datasetCount
	pathPool     = "pool/"     // + name → *Pool
	pathPooled   = "pooled/"   // + id of the key → *Pooled
	pathEscrow   = "escrow/"   // + id of the key + "/" + id of the order → *Escrow
	pathEscrowed = "escrowed/" // + id of the order + "/" + index → *SealedShare
)

// State is everything the cluster has agreed on. It is immutable: Apply makes
// another one, and both stay readable.
type State struct {
	genesis   *authority.VerifiedGenesis
	rootOrder api.Digest
	values    *iradix.Tree[value]
	tree      *merkle
	due       *passings // paths by when their values pass; it follows from values
	owed      *owings   // what waits for nodes; it follows from values
	census    *census   // what is worked out of the keys; it follows from values
	last      step
	link      api.Digest
	lastCA    api.Digest // the change that touched the CAs in force last, their revocation included
	custody   custody    // who holds authority
	beside    *beside    // what is denied beside the content, or nil; see [State.Denying]
}

// step is the last command chained. With the root it gives the link.
type step struct {
	index    uint64
	previous api.Digest // the link before it
	entry    api.Digest // its hash
}

// Position is a place in the chain.
type Position struct {
	Index uint64
	Link  api.Digest
}

// New returns the state before the first entry: genesis alone. Its link is the
// hash of the genesis document.
func New(g *authority.VerifiedGenesis) *State {
	s := empty(g)
	s.link = g.Hash()
	d := s.draft()
	d.put(pathOrder+s.rootOrder.String(), &Ordered{Hash: s.rootOrder, Order: g.Root})
	d.put(pathTime, &ledgerTime{Milliseconds: g.Created})
	for _, n := range g.Roster {
		d.put(pathAddress+n.ID, &Address{Claim: n.Claim})
	}
	d.commit()
	return s
}

// empty is a state of this cluster without content.
func empty(g *authority.VerifiedGenesis) *State {
	return &State{
		genesis: g, values: iradix.New[value](), due: iradix.New[struct{}](), owed: iradix.New[value](), census: &census{}, rootOrder: authority.RootOrderHash(g.Hash(), &g.Root), custody: begin(g),
	}
}

// Genesis is the document this ledger began with.
func (s *State) Genesis() *authority.VerifiedGenesis { return s.genesis }

// Position is the last command chained: its Raft index and the link after it.
func (s *State) Position() Position { return Position{Index: s.last.index, Link: s.link} }

// LastMilestone is the chain at the last multiple of [Milestone] at or below
// the position: the link after the last command at or below it.
func (s *State) LastMilestone() Position {
	if s.last.index > 0 && s.last.index%Milestone == 0 {
		return s.Position()
	}
	if m := get[*milestone](s, pathStone); m != nil {
		return Position(*m)
	}
	return Position{Link: s.genesis.Hash()}
}

// Root is the Merkle root over everything in the state.
func (s *State) Root() api.Digest { return s.tree.root() }

// Time is ledger time in Unix milliseconds: the t-th largest of the roster's
// latest anchor times, never falling.
func (s *State) Time() int64 { return get[*ledgerTime](s, pathTime).Milliseconds }

// Policy is the policy in force, or nil: then nothing is permitted.
func (s *State) Policy() *Policy { return get[*Policy](s, pathPolicy) }

// CAs lists the certificate authorities in force, by name.
func (s *State) CAs() []*CA { return list[*CA](s, pathCA) }

// CAsAt identifies the set of CAs in force and not revoked: the change that
// touched it last.
func (s *State) CAsAt() api.Digest {
	if s.beside != nil {
		return s.beside.trust
	}
	return s.lastCA
}

// Anchor returns the latest anchor of a node, or nil.
func (s *State) Anchor(node string) *Anchored { return get[*Anchored](s, pathAnchor+node) }

// Claim returns the newest address claim of a roster node, or nil.
func (s *State) Claim(node string) *authority.AddressClaim {
	if a := get[*Address](s, pathAddress+node); a != nil {
		return &a.Claim
	}
	return nil
}

// Taken returns what is remembered of a change, or nil.
func (s *State) Taken(id api.Digest) *Taken { return get[*Taken](s, pathChange+id.String()) }

// Orders lists every order, the root key's included.
func (s *State) Orders() []*Ordered { return list[*Ordered](s, pathOrder) }

// OrderByHash returns an order, or nil.
func (s *State) OrderByHash(h api.Digest) *Ordered { return get[*Ordered](s, pathOrder+h.String()) }

// OrderNamed returns the order that this name is an alias of, or nil.
func (s *State) OrderNamed(name string) *Ordered {
	n := get[*named](s, pathName+name)
	if n == nil {
		return nil
	}
	return s.OrderByHash(n.Order)
}

// OrdersAfter lists, by name, the orders of names that come after one: at most n.
func (s *State) OrdersAfter(name string, n int) []*Ordered {
	var out []*Ordered
	it := s.values.Root().Iterator()
	it.SeekLowerBound([]byte(pathName + name))
	for len(out) < n {
		path, v, ok := it.Next()
		if !ok || !strings.HasPrefix(string(path), pathName) {
			break
		}
		if string(path) != pathName+name {
			out = append(out, s.OrderByHash(v.(*named).Order))
		}
	}
	return out
}

// Session returns a run of a ceremony, or nil.
func (s *State) Session(id api.Digest) *Session { return get[*Session](s, pathSession+id.String()) }

// lifetimePhases is how many phases' time a session may take: each of the five
// twice. A birth that needs all its holders and misses one ends by this alone.
const lifetimePhases = 10

// Expired says whether a running session's time is over, by ledger time (R23).
// The next open of its order then ends it.
func (s *State) Expired(ses *Session) bool {
	lifetime := lifetimePhases * int64(ses.PhaseSeconds) * 1000
	return s.Time() > ses.OpenedTime+lifetime
}

// get is what is left of the value at path, or none.
func get[V value](s *State, path string) V { return find[V](s, []byte(path)) }

// find is get, for who has made the path in a place of its own.
func find[V value](s *State, path []byte) (none V) {
	v, ok := s.values.Get(path)
	if _, is := v.(passing); is {
		v = leftOf(v, s.Time())
	}
	if !ok || v == nil {
		return none
	}
	return v.(V)
}

// list is what is left of the values below prefix, by path.
func list[V value](s *State, prefix string) []V {
	var out []V
	now := s.Time()
	s.values.Root().WalkPrefix([]byte(prefix), func(_ []byte, v value) bool {
		if v = leftOf(v, now); v != nil {
			out = append(out, v.(V))
		}
		return false
	})
	return out
}

// draft collects the writes of one entry, all or none of which become the new
// state.
type draft struct {
	s      *State
	txn    *iradix.Txn[value]
	tree   *merkle
	due    *iradix.Txn[struct{}]
	owed   *iradix.Txn[value]
	moved  bool   // something is written that may say something of the keys
	ended  bool   // a run of a ceremony is over with this entry
	passed []byte // see [Result]
}

func (s *State) draft() *draft {
	return &draft{s: s, txn: s.values.Txn(), tree: s.tree, due: s.due.Txn(), owed: s.owed.Txn()}
}

func (d *draft) put(path string, v value) {
	if strings.Contains(path, "\x00") {
		panic("ledger: a path holds a zero byte")
	}
	before, _ := d.txn.Insert([]byte(path), v)
	d.index(path, before, v)
	d.tree = d.tree.put(tag.Hash(tag.StatePath, []byte(path)), v.digest(), 0)
}

// remove takes out what stands at path.
func (d *draft) remove(path string) {
	before, _ := d.txn.Delete([]byte(path))
	d.index(path, before, nil)
	d.tree = d.tree.remove(tag.Hash(tag.StatePath, []byte(path)), 0)
}

// trial is a draft that goes on from here and leaves d alone.
func (d *draft) trial() *draft {
	s := *d.s
	return &draft{s: &s, txn: d.txn.Clone(), tree: d.tree, due: d.due.Clone(), owed: d.owed.Clone(), ended: d.ended, moved: d.moved}
}

// adopt takes over what a trial of d has written.
func (d *draft) adopt(t *draft) {
	d.txn, d.tree, d.due, d.owed, d.ended, d.moved = t.txn, t.tree, t.due, t.owed, t.ended, t.moved
	d.s.lastCA, d.s.custody = t.s.lastCA, t.s.custody
}

func (d *draft) commit() {
	d.s.values = d.txn.Commit()
	d.s.tree = d.tree
	d.s.due, d.s.owed = d.due.Commit(), d.owed.Commit()
	if d.moved {
		d.s.census = &census{}
	}
}
