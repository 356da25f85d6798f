package audit

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// gatheringLog waits for who is expected for as long as is said.
func gatheringLog(t *testing.T, gathers time.Duration) *Log {
	t.Helper()
	l := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "audit")))
	l.gathers = gathers // nobody appends yet
	return l
}

// forEver is longer than any test.
const forEver = time.Hour

func TestACommitWaitsForWhoIsExpected(t *testing.T) {
	l := gatheringLog(t, forEver)
	const callers = 20
	var over []func()
	for range callers {
		over = append(over, l.Expect())
	}
	before := l.Room().Syncs
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			if _, err := l.Append(context.Background(), numbered(i)); err != nil {
				t.Error(err)
			}
			over[i]()
			over[i]() // as often as one likes
		})
	}
	all.Wait()
	if n := l.Room().Syncs - before; n != 1 {
		t.Errorf("%d records took %d syncs, want 1", callers, n)
	}
	if l.expected.Load() != 0 || l.waiting.Load() != 0 {
		t.Errorf("%d are expected and %d wait, when all is done", l.expected.Load(), l.waiting.Load())
	}
}

func TestACommitWaitsNoLongerForWhoDoesNotCome(t *testing.T) {
	l := gatheringLog(t, forEver)
	over := l.Expect()
	time.AfterFunc(10*time.Millisecond, over)
	mustAppend(t, l, numbered(1))

	l = gatheringLog(t, time.Millisecond)
	defer l.Expect()() // who never says that it is over
	mustAppend(t, l, numbered(1))
}

func TestWhoIsAloneWaitsForNobody(t *testing.T) {
	l := gatheringLog(t, forEver)
	over := l.Expect()
	mustAppend(t, l, numbered(1)) // itself is who was expected
	over()
	mustAppend(t, l, numbered(2)) // and who was not announced at all
	if l.Size() < 2 {
		t.Errorf("%d records", l.Size())
	}
}

// Who was expected, and gave up while it waited for its commit, is not waited for.
func TestWhoGivesUpIsNotWaitedFor(t *testing.T) {
	l := gatheringLog(t, forEver)
	gone, stays := l.Expect(), l.Expect()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _ = l.Append(ctx, numbered(1)) // stored or not
	gone()
	mustAppend(t, l, numbered(2))
	stays()
}
