package ceremony

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
)

// What a ceremony of many keys costs comes in pieces: what a holder computes for a post,
// and what every node computes to take it. Those who unwrap meanwhile find a core that is
// busy for the length of a piece, and where nodes share a machine, as many as take the
// post at the same time. So the pieces are small ([ledger.MaxRenewed]), one comes after
// another, and after a run nothing is done for a while.

const (
	// small is of how many keys a session is of whose posts nobody waits for others' turn.
	small = 4
	// patience is how long a holder waits for the post of each one before it.
	patience = 500 * time.Millisecond
	// share is the part of the time that runs of many keys may take: one in so many.
	share = 4
	// longestRest bounds the rest between two runs. 1,000 keys are 40 runs.
	longestRest = 6 * time.Second
	// maxBirths is how many births a holder has under way before it opens another. Each
	// has a key of its own in the token, of which a token has few, and SoftHSM reads all
	// that it has anew to use one.
	maxBirths = 16
	// moving is how long a birth may stay in one phase and still keep another from
	// being opened: one that waits for its deadline keeps none.
	moving = 5 * time.Second
)

// births lists the orders to go on with: those that run, and of those that wait as many as
// may run besides, those first that were tried the least.
func (d *Driver) births(s *ledger.State) []*ledger.Ordered {
	var run, wait []*ledger.Ordered
	free := maxBirths
	for _, o := range s.OrdersOf(d.cfg.Node) {
		if o.Live.IsZero() {
			wait = append(wait, o)
			continue
		}
		run = append(run, o)
		since := d.cfg.Now()
		if r := d.sessions[o.Live]; r != nil {
			since = r.phaseSince
		} else if ses := s.Session(o.Live); ses != nil {
			since = d.watched(ses)
		}
		if d.cfg.Now().Sub(since) < moving {
			free--
		}
	}
	slices.SortStableFunc(wait, func(a, b *ledger.Ordered) int { return cmp.Compare(a.Attempt, b.Attempt) })
	return append(run, wait[:min(len(wait), max(free, 0))]...)
}

// isTurn says whether it is the turn of the participant at a place to post in the open
// phase. All post one after the other: nobody computes while others do. Who is silent
// holds up those after it for a moment.
func (d *Driver) isTurn(ses *ledger.Session, place sharing.Index, since time.Time) bool {
	if ses.Board.Session().N <= small {
		return true
	}
	before := 0
	for i := sharing.Index(1); i < place; i++ {
		if ses.Board.Awaits(i) {
			before++
		}
	}
	return d.cfg.Now().Sub(since) >= time.Duration(before)*patience
}

// signsNow says whether it is this holder's turn to sign the record of one of many keys.
func (d *Driver) signsNow(k *ledger.Key) bool {
	before := int(k.IndexOf(d.cfg.Node)) - 1 - len(k.Signed)
	name := fmt.Sprintf("sign %s %d %d", k.ID, k.Version, k.Number)
	first, seen := d.since[name]
	if !seen {
		first = d.cfg.Now()
		d.since[name] = first
	}
	return d.cfg.Now().Sub(first) >= time.Duration(before)*patience
}

// rest is the pace of runs that come one after another, as this node sees them: of those
// of refreshes and reshares, or of those that fill pools.
type rest struct {
	since time.Time // when the run that goes on was first seen; zero when none does
	until time.Time // when the next may be opened
}

// rested takes in how many keys the run is of that goes on, none where none does, and says
// whether the next one may be opened. A run of many keys that took long, since the machine
// has other things to do, is followed by a longer rest.
func (r *rest) rested(now time.Time, keys int) bool {
	switch many := keys > small; {
	case many && r.since.IsZero():
		r.since = now
	case !many && !r.since.IsZero():
		r.until = now.Add(min((share-1)*now.Sub(r.since), longestRest))
		r.since = time.Time{}
	}
	return keys == 0 && !now.Before(r.until)
}
