package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/sharing/tprf"
	"warifu.dev/transport"
)

// question asks one holder for what it has for some items: its partials, or, of a symmetric
// key, its values of some sets.
type question struct {
	holder  *link
	sets    []tprf.Set
	items   []*pending
	address string    // where the holder was asked
	asked   time.Time // when
	due     time.Time // when its answer is late
	late    bool      // it is, others were asked in its place, and it is welcome still
	over    bool      // it has answered, or will not

	method uint16
	body   []byte
	begun  transport.Begun // or none, and a goroutine waits for the answer
}

// heard is what a holder answered, or why it did not.
type heard struct {
	*question
	answer *api.UnwrapAnswer
	err    error
}

// given says that the holder refused nothing, so that there is nobody to be asked in its
// place.
func (h heard) given() bool {
	return h.err == nil && len(h.answer.Items) == len(h.items) &&
		!slices.ContainsFunc(h.answer.Items, func(a api.ItemAnswer) bool { return a.Refusal != nil })
}

// exchange is the questions of one request that are under way, and the answers that come
// in. One goroutine owns it. The others are those that read the connections to holders: they
// put an answer in and go on, and wake the owner when it has all that it waits for. Only
// where a connection is not there, or full, a goroutine waits for a question.
type exchange struct {
	outer    context.Context // of the caller
	deadline time.Time       // of the client, or of the caller if that is earlier
	asked    *atomic.Int64   // questions to holders, of all epochs
	under    []*question     // asked, and not answered yet
	alarm    *time.Timer     // when patience ends, or the time
	within   context.Context // ends with the exchange; nil until somebody needs it
	cancel   context.CancelFunc
	waits    sync.WaitGroup // for the goroutines

	mu     sync.Mutex
	came   []heard       // guarded by mu
	enough int           // answers that the owner waits for; guarded by mu
	wake   chan struct{} // holds one from when it is to be woken
}

func newExchange(outer context.Context, deadline time.Time, asked *atomic.Int64) *exchange {
	if d, ok := outer.Deadline(); ok && d.Before(deadline) {
		deadline = d // which goes along to the holders
	}
	return &exchange{
		outer: outer, deadline: deadline, asked: asked,
		alarm: time.NewTimer(time.Until(deadline)), wake: make(chan struct{}, 1),
	}
}

// context ends with the exchange, and with its time. It is made for who needs it: most
// requests wait for answers and for nothing else.
func (x *exchange) context() context.Context {
	if x.within == nil {
		x.within, x.cancel = context.WithDeadline(x.outer, x.deadline)
	}
	return x.within
}

// leave ends the exchange. Answers that come from now on are nobody's.
func (x *exchange) leave() {
	x.alarm.Stop()
	for _, q := range x.under {
		q.begun.Withdraw()
	}
	if x.cancel != nil {
		x.cancel()
		x.waits.Wait()
	}
}

// bear has the alarm ring when the next answer is late, or the time ends.
func (x *exchange) bear() {
	next := x.deadline
	for _, q := range x.under {
		if !q.late && q.due.Before(next) {
			next = q.due
		}
	}
	x.alarm.Reset(time.Until(next))
}

// overdue are the questions that are late by now, and in whose place nobody was asked. Their
// holders are asked after others from now on.
func (x *exchange) overdue() (late []*question) {
	now := time.Now()
	for _, q := range x.under {
		if !q.late && !now.Before(q.due) {
			q.holder.markLate(q.asked)
			late = append(late, q)
		}
	}
	return late
}

// forgive waits once more for what is late, since there is nobody to ask in its place now.
func (q *question) forgive() { q.due = time.Now().Add(minPatience) }

// ask puts a question.
func (x *exchange) ask(q *question) {
	q.address, q.asked = q.holder.address(), time.Now()
	q.due = q.asked.Add(q.holder.patience(len(q.items)))
	x.under = append(x.under, q)
	x.bear()
	x.asked.Add(1)
	var ok bool
	q.begun, ok = q.holder.begin(q.method, q.body, time.Until(x.deadline), func(b []byte, err error) { x.put(q, b, err) })
	if !ok {
		x.wait(q)
	}
}

// wait has a goroutine put a question, on a new connection if need be.
func (x *exchange) wait(q *question) {
	q.begun = transport.Begun{}
	ctx := x.context()
	x.waits.Go(func() {
		b, err := q.holder.repeat(ctx, q.method, q.body, func() { x.asked.Add(1) })
		x.put(q, b, err)
	})
}

// put takes an answer, for the owner. It is called by other goroutines, and does not wait.
func (x *exchange) put(q *question, b []byte, err error) {
	answer, err := answered[api.UnwrapAnswer](b, err)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.came = append(x.came, heard{q, answer, err})
	if x.ready() {
		select {
		case x.wake <- struct{}{}:
		default:
		}
	}
}

// ready says whether the owner has something to do; mu is held.
func (x *exchange) ready() bool {
	return len(x.came) >= x.enough || slices.ContainsFunc(x.came, func(h heard) bool { return !h.given() })
}

// What ends the wait for answers.
type event int

const (
	haveCome event = iota
	tooSlow        // patience has ended
	timeOver       // the time has, or the caller has gone
)

// await waits for so many answers, or for one that is a refusal, a failure or a mistake, or
// for the end of patience or of the time. It returns the answers that are there.
func (x *exchange) await(enough int) ([]heard, event) {
	for {
		x.mu.Lock()
		x.enough = enough
		ready := x.ready()
		x.mu.Unlock()
		why := haveCome
		if !ready {
			select {
			case <-x.wake:
			case <-x.alarm.C:
				if why = tooSlow; !time.Now().Before(x.deadline) {
					why = timeOver
				}
			case <-x.outer.Done():
				why = timeOver
			}
		}
		if came := x.taken(why); len(came) > 0 || why != haveCome {
			return came, why
		}
	}
}

// taken returns what has come. A question on a connection that turns out to have died since
// it was last used is put again, on a new one.
func (x *exchange) taken(why event) []heard {
	x.mu.Lock()
	came := x.came
	x.came = nil
	select {
	case <-x.wake:
	default:
	}
	x.mu.Unlock()
	return slices.DeleteFunc(came, func(h heard) bool {
		if errors.Is(h.err, transport.ErrClosed) && h.begun != (transport.Begun{}) && why != timeOver {
			x.asked.Add(1)
			x.wait(h.question)
			return true
		}
		x.under = slices.DeleteFunc(x.under, func(q *question) bool { return q == h.question })
		return false
	})
}

// timeIsOver is why the time was over.
func (x *exchange) timeIsOver() error {
	if err := x.outer.Err(); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

// wrongCount is the error of an answer with another number of items than were asked for.
func (h heard) wrongCount() error {
	return fmt.Errorf("%w: %d answers for %d items", ErrAnswer, len(h.answer.Items), len(h.items))
}
