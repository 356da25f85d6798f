package certificate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// Says is what a certificate says. Times are Unix milliseconds.
type Says struct {
	Cluster api.ClusterID `json:"cluster"`
	Genesis api.Digest    `json:"genesis"`
	Roster  uint64        `json:"roster_version"` // of the newest one that the certificate knows
	Key     api.KeyID     `json:"key"`
	Name    string        `json:"name"`
	// Imported says that the key was whole before it came here: its owner's copy is open.
	Imported bool `json:"imported"`
	// Adopted names the versions that lived in another cluster before: what that one had of
	// them is open.
	Adopted []Adopted `json:"adopted,omitempty"`

	Gone      bool   `json:"gone"`      // for every epoch enough holders have signed
	Claim     string `json:"claim"`     // the same in a sentence
	Tolerates int    `json:"tolerates"` // as many lying receipts, in any epoch; -1: it is not gone
	Standard  string `json:"standard"`

	Ordered  Ordered    `json:"ordered"`
	Epochs   []Epoch    `json:"epochs"`
	Receipts []Receipt  `json:"receipts"` // by ledger index
	Shown    []Position `json:"shown"`
	Datasets []Dataset  `json:"registered_data_sets"` // by ledger index; null: nobody has stated what is under the key

	Escrows []Escrow `json:"escrows,omitempty"` // orders to seal shares to custodians, by ledger index

	Open      []string `json:"open_copies"`
	Unwrapped string   `json:"unwrapped_before"`
	Counted   *Count   `json:"counted,omitempty"`
	Wrapped   string   `json:"wrapped"`
	NotProven []string `json:"not_proven"`
}

// Ordered is the custodians' order to destroy the key.
type Ordered struct {
	Change  api.Digest `json:"change"`
	By      []string   `json:"by"` // the custodians who signed it
	Needed  int        `json:"signatures_needed"`
	Index   uint64     `json:"ledger_index"`
	Time    int64      `json:"ledger_time_ms"`
	Wait    int64      `json:"wait_ms"`
	Began   uint64     `json:"began_at_ledger_index"`
	BeganAt int64      `json:"began_at_ledger_time_ms"`
}

// Epoch is one generation of shares of one version, or several that followed each other
// and of which all of this is so.
type Epoch struct {
	Version   uint32   `json:"version"`
	Number    uint64   `json:"epoch"`
	Last      uint64   `json:"last_epoch,omitempty"` // of several; Number is the first
	T         uint32   `json:"t"`
	Holders   []string `json:"holders"`
	Struck    []string `json:"struck,omitempty"` // never confirmed a share
	Erased    []string `json:"erased"`           // whose receipts are here
	Missing   []string `json:"missing,omitempty"`
	Escrowed  []string `json:"escrowed,omitempty"` // whose shares are sealed to custodians as well: their receipts do not count
	Need      int      `json:"need"`
	Tolerates int      `json:"tolerates"` // E-(h-t+1), without those escrowed; -1: too few receipts
}

// Adopted is a version of the key that was born in another cluster, which was lost, and
// whose shares were brought from there.
type Adopted struct {
	Version uint32        `json:"version"`
	Cluster api.ClusterID `json:"from_cluster"`
	Epoch   uint64        `json:"epoch"` // as which they were brought; those before it lived there alone
}

// Escrow is an order to seal the shares of one epoch to custodians: copies that no erasure
// reaches.
type Escrow struct {
	Change     api.Digest `json:"change"`
	Version    uint32     `json:"version"`
	Epoch      uint64     `json:"epoch"`
	Sealed     []string   `json:"sealed"` // holders who have
	Custodians []string   `json:"custodians"`
	Open       uint32     `json:"custodians_needed"`
	Since      int64      `json:"since_ledger_time_ms"`
	Index      uint64     `json:"ledger_index"`
}

// Receipt is what one node signed: that it has erased its shares of the epochs that it
// names and of those before them, by destroying what sealed the generation of its keyring
// that had the last of them.
type Receipt struct {
	ID         api.Digest `json:"id"`
	Node       string     `json:"node"`
	Through    []Through  `json:"through"`    // by version: of each epoch that the node held up to that one
	Generation uint64     `json:"generation"` // nothing of it, or of one before, opens any more
	Object     string     `json:"object"`
	Serial     string     `json:"token_serial"`
	Time       int64      `json:"time_ms"` // by the node's clock
	Index      uint64     `json:"ledger_index"`

	said authority.ErasureReceipt
}

// Through is how far a receipt goes in one version of the key.
type Through struct {
	Version uint32 `json:"version"`
	Epoch   uint64 `json:"epoch"`
}

// String names the epochs in words.
func (t Through) String() string { return fmt.Sprintf("to %d of version %d", t.Epoch, t.Version) }

// Position is where a proof leads.
type Position struct {
	Index uint64     `json:"ledger_index"`
	Link  api.Digest `json:"link"`
	Root  api.Digest `json:"state_root"`
	By    []string   `json:"signed_by"`
	Need  int        `json:"signatures_needed"`
}

// read holds everything in the evidence against the genesis document, and puts it in
// words.
func read(e *Evidence) (*Says, error) {
	c, err := readCluster(e)
	if err != nil {
		return nil, err
	}
	s := &Says{Cluster: c.genesis.Cluster, Genesis: c.genesis.Hash(), Roster: c.chain.Roll.Version, Key: e.Key}
	var proofs []*ledger.Proof
	for _, shown := range e.Shown {
		p, err := ledger.ParseProof(shown.Proof)
		if err != nil {
			return nil, err
		}
		at, err := c.vouched(p, shown.Vouched)
		if err != nil {
			return nil, err
		}
		proofs, s.Shown = append(proofs, p), append(s.Shown, at)
	}
	d, err := ledger.ReadDestroyed(e.Key, proofs)
	if err != nil {
		return nil, err
	}
	if len(d.Versions) == 0 {
		return nil, errors.New("it shows no version of the key")
	}
	s.Name = d.Versions[0].Name
	s.Imported = slices.ContainsFunc(d.Orders, func(o *ledger.Ordered) bool { return o.Order.Import != nil })
	if s.Datasets, err = c.datasets(e.Key, d.Datasets); err != nil {
		return nil, err
	}
	if s.Ordered, err = c.ordered(e.Key, d.Life.Destroy); err != nil {
		return nil, fmt.Errorf("its order: %w", err)
	}
	if s.Escrows, err = c.escrows(e.Key, d.Escrows); err != nil {
		return nil, err
	}
	for _, k := range d.Versions {
		if k.Adopted != nil {
			s.Adopted = append(s.Adopted, Adopted{Version: k.Version, Cluster: k.Adopted.Cluster, Epoch: k.Adopted.Epoch})
		}
	}
	receipts := map[api.Digest]*Receipt{}
	for _, id := range slices.SortedFunc(maps.Keys(d.Receipts), func(a, b api.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		if receipts[id], err = c.receipt(e.Key, id, d.Receipts[id]); err != nil {
			return nil, fmt.Errorf("receipt %s: %w", id, err)
		}
		s.Receipts = append(s.Receipts, *receipts[id])
	}
	slices.SortStableFunc(s.Receipts, func(a, b Receipt) int { return cmp.Compare(a.Index, b.Index) })
	for v, version := range d.Epochs {
		if len(version) == 0 {
			return nil, fmt.Errorf("version %d has no epoch", v+1)
		}
		for _, over := range version {
			for _, piece := range cut(over, s.Escrows) {
				epoch, err := epochOf(piece, receipts, s.Escrows)
				if err != nil {
					return nil, err
				}
				s.Epochs = append(s.Epochs, *epoch)
			}
		}
	}
	if e.Counted != nil {
		if s.Counted, err = c.count(e.Key, e.Counted); err != nil {
			return nil, fmt.Errorf("what was counted in the audits: %w", err)
		}
	}
	s.conclude()
	return s, nil
}

// ordered reads the order under the custodians of its time.
func (c *cluster) ordered(key api.KeyID, d *ledger.Destruction) (Ordered, error) {
	then := c.chain.At(d.By.Custody)
	if then == nil {
		return Ordered{}, errors.New("the custodians who signed it are not here")
	}
	entry, err := authority.ParseEntry(d.By.Entry)
	if err != nil {
		return Ordered{}, err
	}
	change, err := authority.VerifyChange(then, entry)
	if err != nil {
		return Ordered{}, err
	}
	k, err := authority.ParseKeyDestroy(change)
	if err != nil {
		return Ordered{}, err
	}
	if k.Key != key || entry.ID() != d.By.Change || d.After != d.Ordered+k.Wait || d.At < d.After {
		return Ordered{}, errors.New("it is another one than was carried out")
	}
	o := Ordered{
		Change: d.By.Change, Needed: then.RequiredForChange(change), Index: d.Index, Time: d.Ordered, Wait: k.Wait, Began: d.Begun, BeganAt: d.At,
	}
	for _, s := range entry.Signatures {
		o.By = append(o.By, then.CustodianByKey(s.Signer).Name)
	}
	slices.Sort(o.By)
	return o, nil
}

// receipt reads what a node signed, which may have left the roster since.
func (c *cluster) receipt(key api.KeyID, id api.Digest, kept *ledger.Receipt) (*Receipt, error) {
	entry, err := authority.ParseEntry(kept.Entry)
	if err != nil {
		return nil, err
	}
	s, err := c.statement(entry)
	if err != nil {
		return nil, err
	}
	if s.Kind != authority.KindErased || entry.ID() != id {
		return nil, errors.New("it is another statement")
	}
	var r authority.ErasureReceipt
	if err := wire.Decode(s.Body, &r); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	out := &Receipt{ID: id, Node: s.Node, Through: []Through{}, Generation: r.Generation, Object: r.Label, Serial: r.Serial, Time: r.Time, Index: kept.Index, said: r}
	for _, e := range r.Through {
		if e.Key == key {
			out.Through = append(out.Through, Through{e.Version, e.Epoch})
		}
	}
	return out, nil
}

// statement verifies what a node signed under the newest roster that has the node.
func (c *cluster) statement(e *authority.Entry) (*authority.Statement, error) {
	for n := c.chain.Len(); n >= 0; n-- {
		if g := c.chain.At(uint64(n)); g.NodeByID(e.Author) != nil {
			return authority.VerifyStatement(g, e)
		}
	}
	return nil, fmt.Errorf("%w: %.64q was never on the roster", authority.ErrStatement, e.Author)
}

// escrows are the orders of escrow, as the ledger has them: that there was one more is in
// nobody's interest to say falsely.
func (c *cluster) escrows(key api.KeyID, list []*ledger.Escrow) ([]Escrow, error) {
	var out []Escrow
	for _, e := range list {
		then := c.chain.At(e.By.Custody)
		if then == nil || e.Key != key {
			return nil, errors.New("an order of escrow is of another key, or of custodians who are not here")
		}
		o := Escrow{Change: e.By.Change, Version: e.Version, Epoch: e.Epoch, Sealed: e.Nodes(), Open: e.Open, Since: e.Time, Index: e.Index}
		for _, k := range then.Custodians {
			o.Custodians = append(o.Custodians, k.Name)
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b Escrow) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// cut takes epochs apart where one of them was escrowed, so that all of a piece have that
// in common as well.
func cut(e *ledger.Erased, escrows []Escrow) []*ledger.Erased {
	ends := []uint64{e.Last}
	for _, o := range escrows {
		if o.Version == e.Version && o.Epoch >= e.First && o.Epoch <= e.Last {
			ends = append(ends, o.Epoch-1, o.Epoch)
		}
	}
	slices.Sort(ends)
	var out []*ledger.Erased
	first := e.First
	for _, last := range slices.Compact(ends) {
		if last < first {
			continue
		}
		piece := *e
		piece.First, piece.Last = first, last
		out, first = append(out, &piece), last+1
	}
	return out
}

// epochOf counts the receipts of epochs that have all in common: each receipt is of the
// holder it stands for and speaks of all these epochs, and counts unless that share is
// sealed to custodians as well. That it is a holder, and counts once, its form says.
func epochOf(e *ledger.Erased, receipts map[api.Digest]*Receipt, escrows []Escrow) (*Epoch, error) {
	newest := authority.LiveEpoch{Key: e.Key, Version: e.Version, Epoch: e.Last}
	out := &Epoch{Version: e.Version, Number: e.First, T: e.T, Holders: e.Holders, Struck: e.Struck, Erased: []string{}, Missing: e.Awaiting(), Need: e.Need(), Tolerates: -1}
	if e.Last > e.First {
		out.Last = e.Last
	}
	for _, by := range e.By {
		r := receipts[by.Receipt]
		if r.Node != by.Node || !r.said.Covers(newest) {
			return nil, fmt.Errorf("receipt %s is not of %.64q for %s", by.Receipt, by.Node, out.which())
		}
		out.Erased = append(out.Erased, by.Node)
	}
	for _, h := range e.Holders {
		if slices.ContainsFunc(escrows, func(o Escrow) bool {
			return o.Version == e.Version && o.Epoch >= e.First && o.Epoch <= e.Last && slices.Contains(o.Sealed, h)
		}) {
			out.Escrowed = append(out.Escrowed, h)
		}
	}
	if gone := slices.DeleteFunc(slices.Clone(out.Erased), func(n string) bool { return slices.Contains(out.Escrowed, n) }); len(gone) >= out.Need {
		out.Tolerates = len(gone) - out.Need
	}
	return out, nil
}
