package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
)

// slowReplica has more in its log than it has applied, until then.
type slowReplica struct {
	*fakeReplica
	until time.Time
}

func (r *slowReplica) Tail() consensus.Tail[*ledger.State] {
	return consensus.Tail[*ledger.State]{End: 7}
}

func (r *slowReplica) AppliedIndex() uint64 {
	if time.Now().Before(r.until) {
		return 6
	}
	return 7
}

// An answer waits for what is stored here, and not for ever.
func TestAnAnswerWaitsForWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct{ lags, least, most time.Duration }{
			{0, 0, 0},
			{500 * time.Millisecond, 500 * time.Millisecond, 600 * time.Millisecond},
			{time.Hour, catchUpWait, catchUpWait},
		} {
			n := &Node{consensus: &slowReplica{until: time.Now().Add(row.lags)}}
			began := time.Now()
			n.catchUp(context.Background())
			if took := time.Since(began); took < row.least || took > row.most {
				t.Errorf("behind for %v: it took %v", row.lags, took)
			}
		}
	})
}
