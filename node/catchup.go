package node

import (
	"context"
	"time"
)

// catchUpWait is how long an answer may wait for what is stored here to be applied: an
// entry that a majority has stored is applied by followers at the leader's next word.
const catchUpWait = 2 * time.Second

// catchUp waits until this node has applied what its log holds now, or a while. Of a
// majority that answer after it, one knows every entry that was taken before.
func (n *Node) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	end := n.consensus.Tail().End
	for n.consensus.AppliedIndex() < end {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
