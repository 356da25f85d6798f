package ceremony

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// Times of the driver. Several holders may post the same open or activate entry;
// they take turns by index so that usually one does.
const (
	turn   = 2 * time.Second
	resend = 3 * time.Second // a post that the board does not show yet is sent again
)

// maxRemembered bounds what the driver remembers of when it posted what. What is
// forgotten is posted once more, and refused.
const maxRemembered = 4096

// Config is what a [Driver] needs; all but Disk is required.
type Config struct {
	Cluster api.ClusterID
	Node    string
	Dir     string // sealed states of sessions rest here; exists, mode 0700
	Device  hsm.Device
	Rand    io.Reader
	Now     func() time.Time
	// Submit signs body as a statement of this node and hands it to the ledger.
	// It returns nil when the entry was committed and taken.
	Submit func(ctx context.Context, kind string, body any) error
	// Old returns copies of this node's shares of the keys of a refresh or a reshare,
	// one for each, in their current epoch: what it deals again.
	Old func(s *ledger.State, ses *ledger.Session) ([]*group.Scalar, error)
	// Confirm makes this node's shares durable, one for each key of the session. It is
	// called before the receipt is posted, and may be called again with the same ones.
	Confirm func(ctx context.Context, s *ledger.State, ses *ledger.Session, index sharing.Index, shares []*group.Scalar) error
	// ConfirmSets is Confirm for this node's share of a symmetric key, which it does not
	// keep: the driver wipes it.
	ConfirmSets func(ctx context.Context, s *ledger.State, ses *ledger.Session, sets *tprf.Share) error
	// SignRecord signs the record of a key.
	SignRecord func(r *authority.KeyRecord) (authority.Signature, error)
	Log        *slog.Logger
	Disk       disk.Hook // nil is the real disk alone
	// Applied is the last entry that this node had applied before it was started. A
	// state from there on shows every session that it has ever taken part in, but those
	// that are over and forgotten.
	Applied uint64
}

// Driver is this node's part in all ceremonies.
type Driver struct {
	cfg      Config
	sessions map[api.Digest]*run
	swept    bool                 // the token has no key of a session that is over
	forgot   atomic.Uint64        // see Forgotten
	since    map[string]time.Time // when something was first seen to be possible
	sent     map[string]time.Time // when it was last posted
	renewed  rest                 // of runs that gave keys new shares
	filled   rest                 // of runs that filled pools
}

// run is one session in which this node takes part.
type run struct {
	participant *dkg.Participant
	index       sharing.Index
	phase       dkg.Phase
	phaseSince  time.Time
}

// New makes a driver with no session loaded.
func New(cfg Config) *Driver {
	return &Driver{
		cfg:      cfg,
		sessions: map[api.Digest]*run{},
		since:    map[string]time.Time{},
		sent:     map[string]time.Time{},
	}
}

// Step looks at the ledger and does everything that is this node's turn to do.
// It is called whenever the ledger has moved, and at least every second. A
// failure concerns one ceremony, is logged, and is tried again.
func (d *Driver) Step(ctx context.Context, s *ledger.State) {
	if len(d.sent)+len(d.since) > maxRemembered {
		clear(d.sent)
		clear(d.since)
	}
	for _, o := range d.births(s) {
		d.heed(ctx, o.Hash, o.Live, d.stepOrder(ctx, s, o, sharing.Index(o.Order.IndexOf(d.cfg.Node))))
	}
	d.stepPools(ctx, s)
	d.stepRenewals(ctx, s)
	d.signRecords(ctx, s)
	d.forget(s)
}

// heed logs a failure that concerns one ceremony.
func (d *Driver) heed(ctx context.Context, order, session api.Digest, err error) {
	if err != nil && ctx.Err() == nil {
		d.cfg.Log.Warn("a ceremony does not go on", "order", order, "session", session, "error", err)
	}
}

func (d *Driver) stepOrder(ctx context.Context, s *ledger.State, o *ledger.Ordered, index sharing.Index) error {
	switch {
	case o.Live.IsZero():
		if o.Order.Purpose != authority.PurposeRoot && s.RootKey() == nil {
			return nil
		}
		return d.inTurn(ctx, fmt.Sprintf("open %s %d", o.Hash, o.Attempt+1), index, authority.KindOpen,
			authority.Open{Order: o.Hash, Attempt: o.Attempt + 1})
	default:
		return d.stepSession(ctx, s, s.Session(o.Live), o.Order.Name)
	}
}

func (d *Driver) stepSession(ctx context.Context, s *ledger.State, ses *ledger.Session, about string) error {
	index := ses.PlaceOf(d.cfg.Node)
	if d.sessions[ses.ID] == nil && !d.isTurn(ses, index, d.watched(ses)) {
		return nil
	}
	r, err := d.load(s, ses, index)
	if err != nil {
		return errors.Join(err, d.late(ctx, ses, d.watched(ses)))
	}
	if phase := ses.Board.Phase(); phase != r.phase {
		r.phase, r.phaseSince = phase, d.cfg.Now()
		d.cfg.Log.Info("ceremony", "session", ses.ID, "key", about, "phase", phase)
	}
	posted, err := false, error(nil)
	if d.isTurn(ses, index, r.phaseSince) {
		if posted, err = d.takePart(ctx, s, ses, r); posted {
			return nil
		}
	}
	// A holder that cannot do its own part still sees to it that the others go on.
	if ses.Board.ReadyToActivate() {
		return errors.Join(err, d.inTurn(ctx, "activate "+ses.ID.String(), index, authority.KindActivate, authority.Activate{Session: ses.ID}))
	}
	return errors.Join(err, d.late(ctx, ses, r.phaseSince))
}

// watched is since when a session that cannot be loaded is seen in its phase.
func (d *Driver) watched(ses *ledger.Session) time.Time {
	name := fmt.Sprintf("watch %s %v", ses.ID, ses.Board.Phase())
	if _, seen := d.since[name]; !seen {
		d.since[name] = d.cfg.Now()
	}
	return d.since[name]
}

// late says that the open phase is past its deadline, when it is.
func (d *Driver) late(ctx context.Context, ses *ledger.Session, since time.Time) error {
	if d.cfg.Now().Sub(since) <= time.Duration(ses.PhaseSeconds)*time.Second {
		return nil
	}
	return d.again(ctx, fmt.Sprintf("late %s %v", ses.ID, ses.Board.Phase()), authority.KindDeadline,
		authority.Deadline{Session: ses.ID, Phase: uint32(ses.Board.Phase())})
}

// takePart posts what the open phase awaits of this holder, and reports whether
// it did. What a post says is durable before it is sent.
func (d *Driver) takePart(ctx context.Context, s *ledger.State, ses *ledger.Session, r *run) (posted bool, err error) {
	ready, err := r.participant.Step(ses.Board.View(), d.cfg.Rand)
	if err != nil {
		// This holder cannot go on, and says so: t of them end the session.
		err = fmt.Errorf("step in the %v phase: %w", r.phase, err)
		return false, errors.Join(err, d.again(ctx, "abandon "+ses.ID.String(), authority.KindAbandon, authority.Abandon{Session: ses.ID}))
	}
	defer wipe(ready.Shares)
	if ready.Sets != nil {
		defer ready.Sets.Wipe()
	}
	if ready.Persist {
		if err := d.save(ses, r); err != nil {
			return false, err
		}
	}
	if ready.Post == nil {
		return false, nil
	}
	if ready.Shares != nil {
		if err := d.cfg.Confirm(ctx, s, ses, r.index, ready.Shares); err != nil {
			return false, fmt.Errorf("make the share durable: %w", err)
		}
	}
	if ready.Sets != nil {
		if err := d.cfg.ConfirmSets(ctx, s, ses, ready.Sets); err != nil {
			return false, fmt.Errorf("make the keys of our sets durable: %w", err)
		}
	}
	// From here, a crash recovers forward: the same bytes are posted again.
	err = d.again(ctx, fmt.Sprintf("post %s %v", ses.ID, ready.Post.Kind), authority.KindPost,
		authority.Post{Session: ses.ID, Kind: uint32(ready.Post.Kind), Body: ready.Post.Body})
	return err == nil, err
}

func wipe(shares []*group.Scalar) {
	for _, x := range shares {
		x.Wipe()
	}
}

// inTurn posts what any holder may post: the first holder at once, the others
// later, each in its turn.
func (d *Driver) inTurn(ctx context.Context, name string, index sharing.Index, kind string, body any) error {
	first, seen := d.since[name]
	if !seen {
		first = d.cfg.Now()
		d.since[name] = first
	}
	if d.cfg.Now().Sub(first) < time.Duration(index-1)*turn {
		return nil
	}
	return d.again(ctx, name, kind, body)
}

// again posts, unless it did so a moment ago: the board shows it soon, or it is
// posted once more.
func (d *Driver) again(ctx context.Context, name, kind string, body any) error {
	if last, sent := d.sent[name]; sent && d.cfg.Now().Sub(last) < resend {
		return nil
	}
	d.sent[name] = d.cfg.Now()
	return step(kind, func() error { return d.cfg.Submit(ctx, kind, body) })
}

// step marks a submission by its kind. A holder posts once in each phase.
func step(kind string, do func() error) error {
	switch kind {
	case authority.KindOpen:
		return failpoint.Step("ceremony/open", do)
	case authority.KindPost:
		return failpoint.Step("ceremony/post", do)
	case authority.KindDeadline:
		return failpoint.Step("ceremony/deadline", do)
	case authority.KindAbandon:
		return failpoint.Step("ceremony/abandon", do)
	case authority.KindActivate:
		return failpoint.Step("ceremony/activate", do)
	case authority.KindRecord:
		return failpoint.Step("ceremony/record", do)
	case authority.KindRetire:
		return failpoint.Step("ceremony/retire", do)
	case authority.KindRepair:
		return failpoint.Step("ceremony/repair", do)
	case authority.KindStanding:
		return failpoint.Step("ceremony/standing", do)
	case authority.KindDestroy:
		return failpoint.Step("ceremony/destroy", do)
	}
	return do()
}

// load returns the participant of a session: the one in memory, the one that was
// sealed, or a new one.
func (d *Driver) load(s *ledger.State, ses *ledger.Session, index sharing.Index) (*run, error) {
	if r := d.sessions[ses.ID]; r != nil {
		return r, nil
	}
	var p *dkg.Participant
	blob, err := keyring.ReadFile(d.cfg.Dir, fileName(ses.ID))
	switch {
	case err == nil:
		state, err := d.openState(ses.ID, blob)
		if err != nil {
			return nil, fmt.Errorf("open the sealed state of session %s: %w", ses.ID, err)
		}
		defer state.Wipe()
		if p, err = dkg.Restore(ses.Board.Session(), index, state); err != nil {
			return nil, fmt.Errorf("restore session %s: %w", ses.ID, err)
		}
	case errors.Is(err, os.ErrNotExist):
		if err := failpoint.Step("ceremony/create-key", func() error { return d.createKey(ses.ID) }); err != nil {
			return nil, fmt.Errorf("make the sealing key of session %s: %w", ses.ID, err)
		}
		if p, err = d.begin(s, ses, index); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	r := &run{participant: p, index: index}
	d.sessions[ses.ID] = r
	return r, nil
}

// begin makes a new participant of a session.
func (d *Driver) begin(s *ledger.State, ses *ledger.Session, index sharing.Index) (*dkg.Participant, error) {
	var old []*group.Scalar
	if session := ses.Board.Session(); session.Old != nil && session.Deals(index) {
		var err error
		if old, err = d.cfg.Old(s, ses); err != nil {
			return nil, fmt.Errorf("take up the old shares of session %s: %w", ses.ID, err)
		}
		defer wipe(old)
	}
	return dkg.NewParticipant(ses.Board.Session(), index, old, d.cfg.Rand)
}

// createKey makes the sealing key of a session, unless a crash left it.
func (d *Driver) createKey(id api.Digest) error {
	if err := d.cfg.Device.CreateKey(hsmLabel(id)); !errors.Is(err, hsm.ErrKeyExists) {
		return err
	}
	return nil
}

// save makes the participant's state durable.
func (d *Driver) save(ses *ledger.Session, r *run) error {
	state := r.participant.State()
	defer state.Wipe()
	blob, err := d.sealState(ses.ID, state)
	if err == nil {
		err = failpoint.Step("ceremony/seal-state", func() error {
			return keyring.WriteFile(d.cfg.Disk, d.cfg.Dir, fileName(ses.ID), blob)
		})
	}
	if err != nil {
		r.participant.Wipe() // what was not stored must not be posted
		delete(d.sessions, ses.ID)
		return fmt.Errorf("seal the state of session %s: %w", ses.ID, err)
	}
	return nil
}

// forget ends this node's part in every session that no longer runs: the
// participant is wiped, its HSM key destroyed, its file removed. It goes by what
// is in memory and on disk, so that a crash in the middle is made good.
func (d *Driver) forget(s *ledger.State) {
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		d.cfg.Log.Error("look for sealed sessions", "error", err)
		return
	}
	ids := map[api.Digest]bool{}
	for id := range d.sessions {
		ids[id] = true
	}
	for _, e := range entries {
		hex, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), keyring.Unfinished), suffix)
		if id, err := api.ParseDigest(hex); ok && err == nil {
			ids[id] = true
		}
	}
	if s.Position().Index < d.cfg.Applied {
		return // it may not show a session yet that runs
	}
	all := true
	if !d.swept {
		if err := d.sweep(s); err != nil {
			d.cfg.Log.Error("look for keys of sessions that are over", "error", err)
			all = false
		}
	}
	for id := range ids {
		ses := s.Session(id)
		if ses != nil && s.Runs(ses) {
			continue
		}
		if r := d.sessions[id]; r != nil && ses != nil {
			if reason, is := ses.Board.Abandoned(); is {
				d.cfg.Log.Warn("a ceremony is abandoned", "session", id, "reason", reason)
			}
		}
		if err := d.destroy(id); err != nil {
			d.cfg.Log.Error("end a session", "session", id, "error", err)
			all = false
		}
	}
	if all {
		d.forgot.Store(s.Position().Index)
	}
}

// Forgotten is the last entry up to which nothing is left here of any session that was
// over by then: neither in memory nor under a key in the token. What dealt an old share
// again has it as a constant term. It may be asked for while the driver steps.
func (d *Driver) Forgotten() uint64 { return d.forgot.Load() }

// sweep destroys, once, the HSM keys that a crash left without a file.
func (d *Driver) sweep(s *ledger.State) error {
	labels, err := d.cfg.Device.Labels()
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, o := range s.Orders() {
		live[hsmLabel(o.Live)] = true
	}
	for _, p := range s.Pools() {
		live[hsmLabel(p.Live)] = true
	}
	for _, r := range s.Renewals() {
		live[hsmLabel(r.Live)] = true
	}
	for _, label := range labels {
		if strings.HasPrefix(label, labelPrefix) && !live[label] {
			if err := failpoint.Step("ceremony/destroy-unused", func() error { return d.destroyKey(label) }); err != nil {
				return err
			}
		}
	}
	d.swept = true
	return nil
}

func (d *Driver) destroy(id api.Digest) error {
	if r := d.sessions[id]; r != nil {
		r.participant.Wipe()
		delete(d.sessions, id)
	}
	err := failpoint.Step("ceremony/destroy-key", func() error { return d.destroyKey(hsmLabel(id)) })
	if err != nil {
		return err
	}
	return failpoint.Step("ceremony/remove-state", func() error { return d.removeState(id) })
}

func (d *Driver) destroyKey(label string) error {
	if err := d.cfg.Device.DestroyKey(label); !errors.Is(err, hsm.ErrNoKey) {
		return err
	}
	return nil
}

func (d *Driver) removeState(id api.Digest) error {
	for _, name := range []string{fileName(id) + keyring.Unfinished, fileName(id)} {
		if err := keyring.RemoveFile(d.cfg.Disk, d.cfg.Dir, name); err != nil {
			return err
		}
	}
	return nil
}

const suffix = ".sealed"

func fileName(id api.Digest) string { return id.String() + suffix }

const labelPrefix = "session."

func hsmLabel(id api.Digest) string { return labelPrefix + id.String()[:32] }

// aad binds a sealed session to its id, which no other attempt has: of the shares that
// it makes none has an epoch or a generation yet.
func (d *Driver) aad(id api.Digest) []byte {
	return keyring.SealedAAD(d.cfg.Cluster, d.cfg.Node, "session", 0, 0, id[:])
}
