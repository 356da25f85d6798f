package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/escrow"
	"warifu.dev/sharing/group"
)

// Custodians may order that the shares of one epoch of one key are sealed to them
// (authority.Escrow). Without such an order, committed and not refused by what this node
// has stored, nothing here seals anything. By it each holder seals its own share and no
// other:
//
//	write it into the audit, synced ──▶ seal the share to the custodians of the order ──▶
//	post what is sealed, once
//
// A crash before it was taken makes it seal once more, under another key: the ledger takes
// one.

const (
	escrowLook  = time.Second
	escrowRetry = 5 * time.Second // after a failure
)

// errNoShare means that the ledger says that this node holds a share which is not open here.
var errNoShare = errors.New("this node's share is not open")

// runEscrows seals this node's shares where custodians have ordered it.
func (n *Node) runEscrows(ctx context.Context) {
	for {
		pause := escrowLook
		for _, e := range n.consensus.Committed().EscrowsOf(n.cfg.Node) {
			if err := n.sealEscrow(ctx, e); err != nil && ctx.Err() == nil {
				n.log.Warn("a share is not sealed to the custodians yet", "key", e.Key, "epoch", e.Epoch, "error", err)
				pause = escrowRetry
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// sealEscrow seals this node's share by one order that stands in the ledger, and posts it.
func (n *Node) sealEscrow(ctx context.Context, e *ledger.Escrow) error {
	state, ring := n.secrets.current()
	_, sealed := n.sealedBy()
	if state != seal.Unsealed || ring == nil || sealed || n.freshEnough() != nil || !n.mayEscrow(e) {
		return nil // it is looked at again
	}
	committed := n.consensus.Committed()
	to := committed.CustodyAt(e.By.Custody).Custodians
	err := failpoint.Step("node/record-escrow", func() error {
		_, err := n.audit.Append(ctx, audit.Record{
			Time: n.now().UnixMilli(), Node: n.cfg.Node, Kind: audit.Escrow, Key: e.Key, Version: e.Version, Epoch: e.Epoch,
			EntryID: e.By.Change, LedgerIndex: committed.Position().Index, Why: "this node's share is sealed to " + strings.Join(names(to), ", "),
		})
		return err
	})
	if err != nil || !n.mayEscrow(e) { // what came while it was written down counts
		return err
	}
	body, err := n.escrowed(e, to)
	if err != nil {
		return err
	}
	if err := failpoint.Step("node/post-escrowed", func() error { return n.say(ctx, authority.KindEscrowed, body) }); err != nil {
		return fmt.Errorf("post the sealed share: %w", err)
	}
	n.log.Info("this node's share is sealed to the custodians", "key", e.Key, "version", e.Version, "epoch", e.Epoch, "order", e.By.Change)
	return nil
}

// mayEscrow says whether this node may seal its share by an order, by what is committed and
// by what it has stored: a key that is revoked releases nothing, to custodians either.
func (n *Node) mayEscrow(e *ledger.Escrow) bool {
	committed, tail := n.states()
	for _, s := range []*ledger.State{committed, tail} {
		_, revoked := s.Revoked(authority.Subject{Kind: authority.SubjectKey, Name: e.Key.String()})
		if revoked || s.MayEscrow(e, n.cfg.Node) != nil {
			return false
		}
	}
	return true
}

// escrowed seals this node's share of the order's epoch to these custodians. It holds the
// share against the key's record first: x·G = Y_i.
func (n *Node) escrowed(e *ledger.Escrow, to []authority.Custodian) (*authority.Escrowed, error) {
	share, back, ok := n.share(e.Key, e.Version, e.Epoch)
	if !ok {
		return nil, errNoShare
	}
	defer back()
	s := n.consensus.Committed()
	k := s.KeyVersion(e.Key, e.Version)
	epoch := s.EpochOf(k, e.Epoch)
	if epoch == nil || epoch.IndexOf(n.cfg.Node) == 0 || share.Index != epoch.IndexOf(n.cfg.Node) || share.Session != epoch.Session || share.Scalar == nil {
		return nil, errNoShare
	}
	if yi, err := group.DecodePoint(epoch.Record.YI[share.Index-1]); err != nil || !group.BaseMul(share.Scalar).Equal(yi) {
		return nil, fmt.Errorf("%w: it is not the one that the key's record names", errNoShare)
	}
	var recipients []string
	for _, c := range to {
		recipients = append(recipients, c.Open)
	}
	of := escrow.Share{Cluster: n.genesis.Cluster, Order: e.By.Change, Key: e.Key, Version: e.Version, Epoch: e.Epoch, Index: share.Index}
	raw := secret.New(share.Scalar.Bytes())
	defer raw.Wipe()
	sealed, err := escrow.Seal(rand.Reader, of, raw, recipients, int(e.Open))
	if err != nil {
		return nil, err
	}
	return &authority.Escrowed{Key: e.Key, Order: e.By.Change, Index: share.Index, Sealed: wire.Encode(sealed)}, nil
}

// maxEscrowWords bounds how many orders of escrow status names.
const maxEscrowWords = 16

// escrowWords names the extra doors, for ever: an epoch that is over opens as well.
func escrowWords(s *ledger.State) []string {
	var out []string
	for _, e := range s.AllEscrows() {
		if len(out) == maxEscrowWords {
			return append(out, api.ExtraDoor+": there are more (warifu escrow list KEY)")
		}
		out = append(out, api.ExtraDoor+": "+doorWords(s, e))
	}
	return out
}

// doorWords say what an order of escrow has opened.
func doorWords(s *ledger.State, e *ledger.Escrow) string {
	of := fmt.Sprintf("version %d of the key %s, epoch %d, is escrowed since %s by %d of its %d holders",
		e.Version, nameOf(s, e.Key), e.Epoch, time.UnixMilli(e.Time).UTC().Format(time.RFC3339), len(e.Sealed), len(e.Holders))
	if !e.Opens() {
		return fmt.Sprintf("%s; %d of these shares would open everything under it", of, e.T)
	}
	return fmt.Sprintf("%s: any %d of the custodians %s open everything under it, beside policy and audit", of, e.Open, strings.Join(names(s.CustodyAt(e.By.Custody).Custodians), ", "))
}

// escrows lists the orders of escrow of a key, by name or by id.
func (n *Node) escrows(q *api.EscrowsRequest) (*api.EscrowsAnswer, error) {
	s := n.consensus.Committed()
	k := s.Key(q.ID)
	if q.Name != "" {
		k = s.KeyNamed(q.Name)
	}
	if k == nil || k.Purpose == authority.PurposeRoot {
		return nil, api.Refuse(api.CodeUnknownKey, "no such key")
	}
	a := &api.EscrowsAnswer{Key: k.ID}
	for _, e := range s.Escrows(k.ID) {
		a.Escrows = append(a.Escrows, api.EscrowSummary{
			Order: e.By.Change, Version: e.Version, Epoch: e.Epoch, T: e.T, Open: e.Open, Holders: uint32(len(e.Holders)), Sealed: e.Nodes(),
			Custodians: names(s.CustodyAt(e.By.Custody).Custodians), Since: e.Time, Index: e.Index,
		})
	}
	return a, nil
}

// escrowed by one holder, or the order itself.
func (n *Node) escrowPart(q *api.EscrowRequest) (*api.EscrowAnswer, error) {
	s := n.consensus.Committed()
	e := s.Escrow(q.Key, q.Order)
	if e == nil {
		return nil, api.Refuse(api.CodeUnknownKey, "no such order of escrow")
	}
	if q.Index == 0 {
		return &api.EscrowAnswer{Entry: e.By.Entry, After: e.By.Custody}, nil
	}
	a := &api.EscrowAnswer{}
	if b := s.SealedShare(q.Order, q.Index); b != nil {
		a.Entry = b.Entry
	}
	return a, nil
}
