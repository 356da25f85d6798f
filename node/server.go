package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/gate"
	"warifu.dev/transport"
)

// Bounds of the audit records of one answer, which is at most one frame: the
// newest that fit.
const (
	maxTail      = 1000
	maxTailBytes = 900 << 10
	maxHashes    = 16 << 10 // 512 KiB
)

// clientServer answers clients: one method each.
type clientServer struct{ n *Node }

// Serve implements [transport.Handler].
func (c clientServer) Serve(ctx context.Context, caller *transport.Caller, method uint16, body []byte) ([]byte, error) {
	s := caller.Identity.(*session)
	who, err := c.n.classOf(s)
	if err == nil {
		body, err = c.answer(ctx, s, who, method, body)
	}
	return body, refusal(err)
}

// mayAsk says which classes may ask for a method. What clients need to trust the
// cluster, and to wrap, is for everybody who is admitted.
var mayAsk = map[uint16][]class{
	api.MethodCluster:   {classCustodian, classFormer, classApplication, classOperator, classAuditor},
	api.MethodKeyRecord: {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodKeyList:   {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodKeyAt:     {classCustodian, classOperator, classAuditor},
	api.MethodErasure:   {classCustodian, classOperator, classAuditor},
	api.MethodLink:      {classCustodian, classOperator, classAuditor},
	api.MethodDatasets:  {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodEscrows:   {classCustodian, classOperator, classAuditor},
	api.MethodEscrow:    {classCustodian, classOperator, classAuditor},
	api.MethodRenewals:  {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodHere:      {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodImport:    {classCustodian, classApplication, classOperator, classAuditor}, // an owner is none of them as such
	api.MethodSubmit:    {classCustodian, classApplication, classOperator, classAuditor}, // a change's own signatures authorise it
	api.MethodUnwrap:    {classApplication, classRevoked},                                // so that the gate refuses and records it
	api.MethodEncrypt:   {classApplication, classRevoked},                                // likewise
	api.MethodBranch:    {classApplication, classRevoked},                                // likewise
	api.MethodDeny:      {classCustodian, classApplication, classOperator, classAuditor}, // likewise
	api.MethodReceipt:   {classCustodian, classApplication, classOperator, classAuditor},
	api.MethodGrants:    {classCustodian, classApplication, classOperator, classAuditor}, // an application sees its own
	api.MethodStatus:    {classCustodian, classOperator, classAuditor},
	api.MethodHealth:    {classCustodian, classOperator, classAuditor},
	api.MethodPolicy:    {classCustodian, classOperator, classAuditor},
	api.MethodAuditTail: {classOperator, classAuditor},
	api.MethodAnchors:   {classCustodian, classOperator, classAuditor},
	api.MethodProposals: {classCustodian, classOperator, classAuditor},

	api.MethodAuditHead:   {classAuditor},
	api.MethodAuditPage:   {classAuditor},
	api.MethodAuditHashes: {classAuditor},

	api.MethodUnsealOffer: {classCustodian, classFormer},
	api.MethodUnsealPiece: {classCustodian, classFormer},
	api.MethodDrill:       {classCustodian},
	api.MethodDrillAnswer: {classCustodian},
	api.MethodDrills:      {classCustodian, classOperator, classAuditor},
}

func permitted(method uint16, who class) error {
	classes, known := mayAsk[method]
	switch {
	case !known:
		return api.Refuse(api.CodeMalformed, "no such method: %d", method)
	case !slices.Contains(classes, who) && who == classRevoked:
		return api.Refuse(api.CodeDenied, "the request is not permitted")
	case !slices.Contains(classes, who):
		return api.Refuse(api.CodeDenied, "the class %s may not ask for this", who)
	}
	return nil
}

// inTurn does what releases something when there is a place for it, or says at once that
// there is none.
func (n *Node) inTurn(ctx context.Context, items int, release func() (*api.UnwrapAnswer, error)) (*api.UnwrapAnswer, error) {
	done, err := n.turns.take(ctx, items)
	if err != nil {
		n.meters.TurnedAway()
		return nil, err
	}
	defer done()
	return release()
}

func (c clientServer) answer(ctx context.Context, s *session, who class, method uint16, body []byte) ([]byte, error) {
	n := c.n
	if err := permitted(method, who); err != nil {
		if method == api.MethodUnwrap {
			err = n.refuseUnwrap(ctx, s, who, body, err)
		}
		if method == api.MethodEncrypt {
			err = n.refuseEncrypt(ctx, s, who, body, err)
		}
		if method == api.MethodBranch {
			err = n.refuseBranch(ctx, s, who, body, err)
		}
		return nil, err
	}
	switch method {
	case api.MethodHere:
		return nil, nil
	case api.MethodCluster:
		return wire.Encode(n.cluster()), nil
	case api.MethodKeyRecord:
		return decodeThen(body, n.keyRecord)
	case api.MethodKeyList:
		if len(body) == 0 { // from the first on
			body = wire.Encode(api.KeyListRequest{})
		}
		return decodeThen(body, func(q *api.KeyListRequest) (*api.KeyListAnswer, error) {
			return keyList(n.consensus.Committed(), q.After, n.now().UnixMilli()), nil
		})
	case api.MethodKeyAt:
		if !s.receipts.allow(n.now(), 1, receiptsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d receipts a second", receiptsPerSecond)
		}
		return decodeThen(body, n.keyAt)
	case api.MethodErasure:
		if !s.pages.allow(n.now(), 1, pagesPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d pages a second", pagesPerSecond)
		}
		return decodeThen(body, n.provenErasure)
	case api.MethodDatasets:
		return decodeThen(body, n.datasets)
	case api.MethodEscrows:
		return decodeThen(body, n.escrows)
	case api.MethodEscrow:
		if !s.pages.allow(n.now(), 1, pagesPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d pages a second", pagesPerSecond)
		}
		return decodeThen(body, n.escrowPart)
	case api.MethodLink:
		if !s.receipts.allow(n.now(), 1, receiptsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d receipts a second", receiptsPerSecond)
		}
		return decodeThen(body, func(q *api.LinkRequest) (*api.LinkAnswer, error) { return n.answerLink(ctx, q) })
	case api.MethodRenewals:
		return wire.Encode(renewals(n.consensus.Committed())), nil
	case api.MethodImport:
		return decodeThen(body, func(q *api.ImportRequest) (*api.ImportAnswer, error) {
			return importAnswer(n.consensus.Committed(), q), nil
		})
	case api.MethodUnwrap:
		return decodeThen(body, func(q *api.UnwrapRequest) (*api.UnwrapAnswer, error) {
			if proofs := proofsAsked(q); proofs > 0 && !s.proofs.allow(n.now(), proofs, proofsPerSecond) {
				return nil, api.Retry(api.CodeOverloaded, "at most %d share proofs a second", proofsPerSecond)
			}
			return n.inTurn(ctx, len(q.Items), func() (*api.UnwrapAnswer, error) { return n.gate.Unwrap(ctx, s.caller(), q) })
		})
	case api.MethodEncrypt:
		return decodeThen(body, func(q *api.EncryptRequest) (*api.UnwrapAnswer, error) {
			return n.inTurn(ctx, len(q.Items), func() (*api.UnwrapAnswer, error) { return n.gate.Encrypt(ctx, s.caller(), q) })
		})
	case api.MethodBranch:
		return decodeThen(body, func(q *api.BranchRequest) (*api.UnwrapAnswer, error) {
			return n.inTurn(ctx, len(q.Items), func() (*api.UnwrapAnswer, error) { return n.gate.Branch(ctx, s.caller(), q) })
		})
	case api.MethodSubmit:
		if !s.submitted.allow(n.now(), 1, submissionsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d submissions a second", submissionsPerSecond)
		}
		return decodeThen(body, func(q *api.SubmitRequest) (*api.SubmitAnswer, error) { return n.submitChange(ctx, s, q) })
	case api.MethodDeny:
		if !s.submitted.allow(n.now(), 1, submissionsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d submissions a second", submissionsPerSecond)
		}
		return decodeThen(body, func(q *api.SubmitRequest) (*api.ReceiptAnswer, error) { return n.denyDirectly(ctx, q) })
	case api.MethodReceipt:
		if !s.receipts.allow(n.now(), 1, receiptsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d receipts a second", receiptsPerSecond)
		}
		return decodeThen(body, func(q *api.ReceiptRequest) (*api.ReceiptAnswer, error) { return n.receipt(q.ID) })
	case api.MethodGrants:
		return decodeThen(body, func(q *api.GrantsRequest) (*api.GrantsAnswer, error) { return n.grants(s, who, q) })
	case api.MethodStatus:
		return wire.Encode(n.status()), nil
	case api.MethodHealth:
		return wire.Encode(n.health()), nil
	case api.MethodPolicy:
		n.catchUp(ctx)
		return wire.Encode(policyAnswer(n.consensus.Committed())), nil
	case api.MethodAnchors:
		return wire.Encode(n.anchors()), nil
	case api.MethodProposals:
		return decodeThen(body, func(q *api.ProposalsRequest) (*api.ProposalsAnswer, error) {
			return proposals(n.consensus.Committed(), q.ID), nil
		})
	case api.MethodAuditTail:
		return decodeThen(body, n.auditTail)
	case api.MethodAuditHead, api.MethodAuditPage, api.MethodAuditHashes:
		if !s.pages.allow(n.now(), 1, pagesPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d pages of the audit a second", pagesPerSecond)
		}
		return n.auditPage(method, body)
	case api.MethodUnsealOffer:
		if !s.receipts.allow(n.now(), 1, receiptsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d offers a second", receiptsPerSecond)
		}
		a, err := n.unsealOffer(s.key)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	case api.MethodDrill:
		if !s.submitted.allow(n.now(), 1, submissionsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d submissions a second", submissionsPerSecond)
		}
		a, err := n.challenge(s.key)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	case api.MethodDrillAnswer:
		if !s.submitted.allow(n.now(), 1, submissionsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d submissions a second", submissionsPerSecond)
		}
		return decodeThen(body, func(q *api.DrillAnswer) (*api.SubmitAnswer, error) {
			return n.takeAnswer(ctx, s.key, n.handed.by(s), q)
		})
	case api.MethodDrills:
		return wire.Encode(drillsAnswer(n.consensus.Committed())), nil
	case api.MethodUnsealPiece:
		if !s.submitted.allow(n.now(), 1, submissionsPerSecond) {
			return nil, api.Retry(api.CodeOverloaded, "at most %d submissions a second", submissionsPerSecond)
		}
		return decodeThen(body, func(q *api.UnsealPiece) (*api.UnsealOffer, error) {
			return n.takePiece(ctx, s.key, s.custodian, s.source.String(), q)
		})
	}
	panic(fmt.Sprintf("node: the method %d is permitted and has no answer", method))
}

// caller is who asks, for the gate.
func (s *session) caller() *gate.Caller {
	return &gate.Caller{Principal: cmp.Or(s.principal, s.custodian), Source: s.source, Standing: s.standing}
}

// refuseUnwrap has the gate write down that somebody asked for an unwrap whose class
// may not: that is a principal's refusal like any other.
func (n *Node) refuseUnwrap(ctx context.Context, s *session, who class, body []byte, refused error) error {
	var q api.UnwrapRequest
	if err := wire.Decode(body, &q); err != nil {
		return malformed(err)
	}
	var e *api.Error
	if !errors.As(refused, &e) {
		return refused
	}
	return n.gate.Refuse(ctx, s.caller(), &q, e, "the class "+string(who))
}

// refuseEncrypt is refuseUnwrap of an encryption.
func (n *Node) refuseEncrypt(ctx context.Context, s *session, who class, body []byte, refused error) error {
	var q api.EncryptRequest
	if err := wire.Decode(body, &q); err != nil {
		return malformed(err)
	}
	var e *api.Error
	if !errors.As(refused, &e) {
		return refused
	}
	return n.gate.RefuseEncrypt(ctx, s.caller(), &q, e, "the class "+string(who))
}

// refuseBranch is refuseUnwrap of a request for branch keys.
func (n *Node) refuseBranch(ctx context.Context, s *session, who class, body []byte, refused error) error {
	var q api.BranchRequest
	if err := wire.Decode(body, &q); err != nil {
		return malformed(err)
	}
	var e *api.Error
	if !errors.As(refused, &e) {
		return refused
	}
	return n.gate.RefuseBranch(ctx, s.caller(), &q, e, "the class "+string(who))
}

func proofsAsked(q *api.UnwrapRequest) int {
	count := 0
	for _, it := range q.Items {
		if it.Prove {
			count++
		}
	}
	return count
}

// peerServer answers the other nodes.
type peerServer struct{ n *Node }

// Serve implements [transport.Handler].
func (p peerServer) Serve(ctx context.Context, caller *transport.Caller, method uint16, body []byte) ([]byte, error) {
	switch method {
	case api.MethodPeerFresh:
		if !p.n.asked.asks(caller.PeerID, p.n.now(), freshPerSecond) {
			return nil, refusal(api.Retry(api.CodeOverloaded, "a member asks at most %d times a second how far the log reaches", freshPerSecond))
		}
		b, err := p.n.answerFresh(body)
		return b, refusal(err)
	case api.MethodPeerClock:
		return wire.Encode(api.ClockAnswer{Time: p.n.now().UnixMilli()}), nil
	case api.MethodPeerChain:
		s := p.n.consensus.Committed()
		return wire.Encode(api.ChainAnswer{Entries: s.Succession(s.Changes())}), nil
	case api.MethodPeerClaims:
		if !p.n.claimed.asks(caller.PeerID, p.n.now(), claimsPerSecond) { // before anything is verified
			return nil, refusal(api.Retry(api.CodeOverloaded, "a member tells its claims at most %d times a second", claimsPerSecond))
		}
		b, err := decodeThen(body, func(q *api.ClaimsMessage) (*api.ClaimsMessage, error) { return p.n.answerClaims(caller.PeerID, q) })
		return b, refusal(err)
	case api.MethodPeerLink:
		b, err := decodeThen(body, func(q *api.LinkRequest) (*api.LinkAnswer, error) { return p.n.answerLink(ctx, q) })
		return b, refusal(err)
	case api.MethodPeerSubmit:
		if !p.n.relayed.allow(caller.PeerID, len(body), p.n.now()) { // before anything is verified
			return nil, refusal(api.Retry(api.CodeOverloaded, "a member submits at most %d units a second", peerUnitsPerSecond))
		}
		if p.n.stopped() != nil { // another will lead
			return nil, refusal(api.Retry(api.CodeOverloaded, "this node has stopped, and does not lead"))
		}
		b, err := decodeThen(body, func(q *api.SubmitRequest) (*api.SubmitAnswer, error) {
			a, err := p.n.submitHere(ctx, q.Entry)
			if errors.Is(err, errNoLeader) {
				err = api.Retry(api.CodeOverloaded, "this node does not lead")
			}
			return a, err
		})
		return b, refusal(err)
	}
	return nil, refusal(api.Refuse(api.CodeMalformed, "no such method: %d", method))
}

func decodeThen[Q, A any](body []byte, answer func(*Q) (*A, error)) ([]byte, error) {
	var q Q
	if err := wire.Decode(body, &q); err != nil {
		return nil, malformed(err)
	}
	a, err := answer(&q)
	if err != nil {
		return nil, err
	}
	return wire.Encode(a), nil
}

func malformed(err error) error { return api.Refuse(api.CodeMalformed, "the request: %v", err) }

// refusal lets an *api.Error cross the wire; everything else stays inside.
func refusal(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return &transport.Refusal{Code: string(e.Code), Sentence: e.Sentence, Retryable: e.Retryable}
	}
	return err
}

func (n *Node) cluster() *api.ClusterAnswer {
	s := n.consensus.Committed()
	a := &api.ClusterAnswer{Genesis: n.genesis.Signed().Encode(), Succession: s.Succession(len(s.Successors()))}
	var members []*authority.Node
	for _, m := range s.Roster() {
		members = append(members, &m)
	}
	a.Claims = n.newerClaims(members)
	return a
}

func (n *Node) keyRecord(q *api.KeyRecordRequest) (*api.KeyRecordAnswer, error) {
	s := n.consensus.Committed()
	k := s.Key(q.ID)
	if q.Name != "" {
		k = s.KeyNamed(q.Name)
	}
	if k != nil && q.Version != 0 {
		k = s.KeyVersion(k.ID, q.Version)
	} else if k != nil {
		k = s.Vouched(k.ID)
	}
	if k == nil || k.Purpose == authority.PurposeRoot {
		return nil, api.Refuse(api.CodeUnknownKey, "no such key")
	}
	a := &api.KeyRecordAnswer{Record: s.SignedRecord(k, s.Believable(k)).Encode()}
	if l := s.SignedLife(k.ID); l != nil {
		a.Life = l.Encode()
	}
	return a, nil
}

// Bounds of one answer that lists keys.
const (
	maxKeysListed = 500
	maxKeyBytes   = 256 << 10 // and one key more
)

func keyList(s *ledger.State, after string, now int64) *api.KeyListAnswer {
	a := &api.KeyListAnswer{}
	size := 0
	for _, o := range s.OrdersAfter(after, maxKeysListed+1) {
		if len(a.Keys) == maxKeysListed || size > maxKeyBytes {
			a.More = true
			break
		}
		k := api.KeySummary{
			Name: o.Order.Name, Version: 1, T: o.Order.T, Holders: o.Order.Holders, State: "ordered", Imported: o.Order.Import != nil,
			Purpose: o.Order.Purpose, F: o.Order.F, Regions: o.Order.Regions,
		}
		if ses := s.Session(o.Live); ses != nil {
			k.State = fmt.Sprintf("in ceremony: %v", ses.Board.Phase())
		}
		if key := s.Key(o.Key); key != nil {
			k.ID, k.Version, k.Epoch, k.Signed, k.Regions = key.ID, key.Version, key.Number, uint32(len(key.Signed)), s.Regions(key)
			sayLife(s, &k, now)
			summariseEpochs(s, key, &k)
		}
		size += len(wire.Encode(k))
		a.Keys = append(a.Keys, k)
	}
	return a
}

func policyAnswer(s *ledger.State) *api.PolicyAnswer {
	a := &api.PolicyAnswer{Index: s.Position().Index}
	if p := s.Policy(); p != nil {
		a.Document, a.Digest, a.Change = p.Document, p.Digest, p.Change
	}
	return a
}

// submitChange takes what custodians signed, and what approvers and owners did. What
// nodes sign comes from nodes.
func (n *Node) submitChange(ctx context.Context, s *session, q *api.SubmitRequest) (*api.SubmitAnswer, error) {
	e, err := authority.ParseEntry(q.Entry)
	if err != nil {
		return nil, api.Refuse(api.CodeMalformed, "%v", err)
	}
	if e.Author != "" {
		return nil, api.Refuse(api.CodeRefusedEntry, "only changes that custodians signed are taken here")
	}
	if e.Kind == authority.KindDataset {
		return n.submitDataset(ctx, s, e, q.Entry)
	}
	if e.Kind == authority.KindGrant {
		return n.submitGrant(ctx, e, q.Entry, n.handed.by(s))
	}
	return n.submit(ctx, q.Entry, n.handed.by(s))
}

// anchors is what every node signed last about its audit.
func (n *Node) anchors() *api.AnchorsAnswer {
	a := &api.AnchorsAnswer{}
	s := n.consensus.Committed()
	for _, m := range s.Roster() {
		if anchored := s.Anchor(m.ID); anchored != nil {
			a.Entries = append(a.Entries, anchored.Entry)
		}
	}
	return a
}

func (n *Node) auditTail(q *api.AuditTailRequest) (*api.AuditTailAnswer, error) {
	records, err := n.audit.Tail(int(min(q.Count, maxTail)))
	if err != nil {
		return nil, err
	}
	a := &api.AuditTailAnswer{}
	size := 0
	for _, r := range slices.Backward(records) {
		b, err := audit.EncodeRecord(r.Record)
		if err != nil {
			return nil, err
		}
		if size += len(b) + 8; size > maxTailBytes {
			break
		}
		a.First, a.Records = r.Index, append(a.Records, b)
	}
	slices.Reverse(a.Records)
	if a.Checkpoint, err = n.audit.Checkpoint(); err != nil {
		return nil, err
	}
	return a, nil
}

// auditPage answers an auditor who copies the log.
func (n *Node) auditPage(method uint16, body []byte) ([]byte, error) {
	switch method {
	case api.MethodAuditPage:
		return decodeThen(body, n.auditRecords)
	case api.MethodAuditHashes:
		return decodeThen(body, func(q *api.AuditHashesRequest) (*api.AuditHashesAnswer, error) {
			hashes, err := n.audit.Hashes(q.From, int(min(q.Count, maxHashes)))
			a := &api.AuditHashesAnswer{}
			for _, h := range hashes {
				a.Hashes = append(a.Hashes, h[:]...)
			}
			return a, err
		})
	}
	signed, err := n.audit.Checkpoint()
	if err != nil {
		return nil, err
	}
	return wire.Encode(api.AuditHeadAnswer{Checkpoint: signed, Archived: n.audit.Archived()}), nil
}

func (n *Node) auditRecords(q *api.AuditPageRequest) (*api.AuditPageAnswer, error) {
	page := n.audit.Page
	if q.Entries {
		page = n.audit.EntryPage
	}
	records, err := page(q.From, q.Below, int(min(q.Count, maxTail)), maxTailBytes)
	if errors.Is(err, audit.ErrArchived) {
		return nil, api.Refuse(api.CodeMalformed, "records below %d are archived", n.audit.Archived())
	}
	a := &api.AuditPageAnswer{}
	for _, r := range records {
		a.Records = append(a.Records, api.AuditRecord{Index: r.Index, First: r.First, Body: r.Body})
	}
	return a, err
}

func (n *Node) status() *api.StatusAnswer {
	s, tail := n.consensus.Committed(), n.consensus.Tail()
	at := s.Position()
	a := &api.StatusAnswer{
		Node: n.cfg.Node, Region: n.cfg.Region, Cluster: n.genesis.Cluster,
		State: n.servingState(), Leader: n.consensus.Leader(),
		Index: at.Index, TailIndex: tail.State.Position().Index, Link: at.Link, Root: s.Root(),
		FreshFor: n.fresh.left(n.boot(), n.consensus.AppliedIndex()).Milliseconds(),
		HSM:      n.device.Kind(), TokenSerial: n.device.Serial(),
		Audit: n.audit.State(), AuditRecords: n.audit.Size(),
		LedgerTime: s.Time(), RaftIndex: tail.End, Anchors: map[string]uint64{}, Pools: pools(s),
	}
	if p := s.Policy(); p != nil {
		a.PolicyDigest = p.Digest
	}
	for _, k := range s.Keys() {
		if k.Purpose != authority.PurposeRoot {
			a.Keys++
		}
	}
	a.Warnings = append(a.Warnings, struckWords(slices.DeleteFunc(s.Keys(), func(k *ledger.Key) bool { return s.Destroyed(k.ID) }))...)
	for _, m := range s.Roster() {
		if anchor := s.Anchor(m.ID); anchor != nil {
			a.Anchors[m.ID] = anchor.Anchor.Counter
		}
	}
	if w := n.clocks.warning(); w != "" {
		a.Warnings = append(a.Warnings, w)
	}
	if waits := s.Waiting(); waits != "" {
		a.Warnings = append(a.Warnings, api.RosterUnfinished+": "+waits)
	}
	if s.NodeByID(n.cfg.Node) == nil && at.Index > 0 {
		a.Warnings = append(a.Warnings, api.RosterWithout)
	}
	if n.lastStop != "" {
		a.Warnings = append(a.Warnings, "the last run stopped serving: "+n.lastStop)
	}
	a.Warnings = append(a.Warnings, unerasedWords(s)...)
	a.Warnings = append(a.Warnings, outlivedWords(s)...)
	a.Warnings = append(a.Warnings, lateWords(s)...)
	a.Warnings = append(a.Warnings, escrowWords(s)...)
	other, _ := n.histories.found()
	for _, c := range other {
		a.Warnings = append(a.Warnings, "fork: "+c.String())
	}
	if by, is := n.sealedBy(); is {
		a.Warnings = append(a.Warnings, "sealed by custodians: "+by.String()+", until it is lifted")
	}
	if words, is := n.waits(); is {
		a.Warnings = append(a.Warnings, words)
	}
	for _, l := range s.FormerLocks() {
		a.FormerLocks = append(a.FormerLocks, api.FormerLock{Node: l.Node, Changes: l.Custody, Custodians: names(s.CustodyAt(l.Custody).Custodians)})
	}
	if n.compactLate.Load() {
		a.Warnings = append(a.Warnings, compactionLate())
	}
	if a.HSM == "soft" {
		a.Warnings = append(a.Warnings, "the HSM is soft: it protects nothing")
	}
	return a
}
