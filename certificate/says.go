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

// Epoch is one generation of shares of one version.
type Epoch struct {
	Version   uint32   `json:"version"`
	Number    uint64   `json:"epoch"`
	T         uint32   `json:"t"`
	Holders   []string `json:"holders"`
	Struck    []string `json:"struck,omitempty"` // never confirmed a share
	Erased    []string `json:"erased"`           // whose receipts are here
	Missing   []string `json:"missing,omitempty"`
	Escrowed  []string `json:"escrowed,omitempty"` // whose shares are sealed to custodians as well: their receipts do not count
	Need      int      `json:"need"`
	Tolerates int      `json:"tolerates"` // E-(h-t+1), without those escrowed; -1: too few receipts
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

// Receipt is what one node signed: that it has erased shares, by destroying what sealed
// the generation of its keyring that had them last.
type Receipt struct {
	ID         api.Digest `json:"id"`
	Node       string     `json:"node"`
	Generation uint64     `json:"generation"`
	Object     string     `json:"object"`
	Serial     string     `json:"token_serial"`
	Time       int64      `json:"time_ms"` // by the node's clock
	Index      uint64     `json:"ledger_index"`

	epochs []authority.LiveEpoch
}

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
	receipts := map[api.Digest]*Receipt{}
	for _, id := range slices.SortedFunc(maps.Keys(d.Receipts), func(a, b api.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		if receipts[id], err = c.receipt(id, d.Receipts[id]); err != nil {
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
			epoch, err := epochOf(over, receipts, s.Escrows)
			if err != nil {
				return nil, err
			}
			s.Epochs = append(s.Epochs, *epoch)
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
func (c *cluster) receipt(id api.Digest, kept *ledger.Receipt) (*Receipt, error) {
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
	return &Receipt{ID: id, Node: s.Node, Generation: r.Generation, Object: r.Label, Serial: r.Serial, Time: r.Time, Index: kept.Index, epochs: r.Epochs}, nil
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

// epochOf counts the receipts of one epoch: each is of the holder it stands for, speaks
// of this very epoch, and counts once, unless that share is sealed to custodians as well.
func epochOf(e *ledger.Erased, receipts map[api.Digest]*Receipt, escrows []Escrow) (*Epoch, error) {
	this := authority.LiveEpoch{Key: e.Key, Version: e.Version, Epoch: e.Epoch}
	out := &Epoch{Version: e.Version, Number: e.Epoch, T: e.T, Holders: e.Holders, Struck: e.Struck, Erased: []string{}, Missing: e.Awaiting(), Need: e.Need(), Tolerates: -1}
	for _, by := range e.By {
		r := receipts[by.Receipt]
		switch {
		case r.Node != by.Node || !slices.Contains(r.epochs, this):
			return nil, fmt.Errorf("receipt %s is not of %.64q for epoch %d of version %d", by.Receipt, by.Node, e.Epoch, e.Version)
		case !slices.Contains(e.Holders, by.Node) || slices.Contains(e.Struck, by.Node) || slices.Contains(out.Erased, by.Node):
			return nil, fmt.Errorf("receipt %s counts for nothing in epoch %d of version %d", by.Receipt, e.Epoch, e.Version)
		}
		out.Erased = append(out.Erased, by.Node)
	}
	for _, h := range e.Holders {
		if slices.ContainsFunc(escrows, func(o Escrow) bool {
			return o.Version == e.Version && o.Epoch == e.Epoch && slices.Contains(o.Sealed, h)
		}) {
			out.Escrowed = append(out.Escrowed, h)
		}
	}
	if gone := slices.DeleteFunc(slices.Clone(out.Erased), func(n string) bool { return slices.Contains(out.Escrowed, n) }); len(gone) >= out.Need {
		out.Tolerates = len(gone) - out.Need
	}
	return out, nil
}
