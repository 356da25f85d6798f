package client

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

func answerOf(items ...api.ItemAnswer) []byte {
	return wire.Encode(&api.UnwrapAnswer{Header: api.AnswerHeader{Node: "n"}, Items: items})
}

// The owner of a request is woken when all is there that it waits for, and at once by what
// makes it ask somebody else.
func TestWhatWakesTheOwnerOfARequest(t *testing.T) {
	good := answerOf(api.ItemAnswer{Partial: []byte{1}})
	for _, c := range []struct {
		says  string
		b     []byte
		err   error
		wakes bool
	}{
		{"one of two answers", good, nil, false},
		{"a refusal", answerOf(api.ItemAnswer{Refusal: denied()}), nil, true},
		{"a failure", nil, errors.New("gone"), true},
		{"two answers to one item", answerOf(api.ItemAnswer{}, api.ItemAnswer{}), nil, true},
		{"no answer at all", []byte("junk"), nil, true},
	} {
		x := newExchange(t.Context(), time.Now().Add(time.Minute), new(atomic.Int64))
		first, second := &question{items: []*pending{{}}}, &question{items: []*pending{{}}}
		x.under = []*question{first, second}
		x.enough = 2
		x.put(first, c.b, c.err)
		if woken := len(x.wake) == 1; woken != c.wakes {
			t.Errorf("%s wakes: %v", c.says, woken)
		}
		x.put(second, good, nil)
		if came, why := x.await(2); len(came) != 2 || why != haveCome || len(x.under) != 0 {
			t.Errorf("%s, and an answer: %d came, event %d, %d under way", c.says, len(came), why, len(x.under))
		}
		x.leave()
	}
}

func denied() *api.Error { return api.Refuse(api.CodeDenied, "no") }

// What has come is not lost when the time is over, or the caller goes.
func TestAnExchangeEnds(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	brief, end := context.WithTimeout(t.Context(), time.Millisecond)
	defer end()
	for _, c := range []struct {
		says     string
		outer    context.Context
		deadline time.Time
		why      error
	}{
		{"its time is over", t.Context(), time.Now(), context.DeadlineExceeded},
		{"its caller has less time", brief, time.Now().Add(time.Minute), context.DeadlineExceeded},
		{"its caller has gone", gone, time.Now().Add(time.Minute), context.Canceled},
	} {
		x := newExchange(c.outer, c.deadline, new(atomic.Int64))
		first, second := &question{items: []*pending{{}}}, &question{items: []*pending{{}}}
		x.under, x.enough = []*question{first, second}, 2
		x.put(first, answerOf(api.ItemAnswer{}), nil)
		came, why := x.await(2)
		if len(came) != 1 || why != timeOver || !errors.Is(x.timeIsOver(), c.why) || !slices.Equal(x.under, []*question{second}) {
			t.Errorf("%s: %d came, event %d, %v, %d under way", c.says, len(came), why, x.timeIsOver(), len(x.under))
		}
		if x.leave(); x.within != nil {
			t.Errorf("%s: a context was made, and nobody asked for it", c.says)
		}
	}
}
