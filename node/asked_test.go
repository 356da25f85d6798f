package node

import (
	"errors"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

// R24: an answer about the log is signed, and a member that asks for more of them than
// an honest one does is refused, and takes nothing from the others.
func TestAMemberAsksSoOftenHowFarTheLogReaches(t *testing.T) {
	n, _ := fakeNode(t)
	now := time.Unix(1000, 0)
	n.now = func() time.Time { return now }
	ask := func(member string) error {
		_, err := peerServer{n}.Serve(t.Context(), &transport.Caller{PeerID: member}, api.MethodPeerFresh, wire.Encode(api.FreshRequest{}))
		return err
	}
	for i := range freshPerSecond {
		if err := ask("n2"); err != nil {
			t.Fatalf("question %d: %v", i+1, err)
		}
	}
	var refused *transport.Refusal
	if err := ask("n2"); !errors.As(err, &refused) || refused.Code != string(api.CodeOverloaded) || !refused.Retryable {
		t.Errorf("one more: %v", err)
	}
	if err := ask("n3"); err != nil {
		t.Errorf("another member: %v", err)
	}
	now = now.Add(time.Second)
	if err := ask("n2"); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
