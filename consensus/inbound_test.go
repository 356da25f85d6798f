package consensus

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// endless is a peer that goes on sending.
type endless struct{ net.Conn }

func (endless) Read(b []byte) (int, error)       { return len(b), nil }
func (endless) Write(b []byte) (int, error)      { return len(b), nil }
func (endless) SetReadDeadline(time.Time) error  { return nil }
func (endless) SetWriteDeadline(time.Time) error { return nil }

// R24: a call that never ends is cut where no honest one is as long; an answer makes
// room for the next call, and a snapshot that was let in for so many bytes.
func TestACallThatNeverEndsIsCut(t *testing.T) {
	var room atomic.Int64
	c := newInbound(endless{}, &room)
	sent := func() int64 {
		t.Helper()
		n, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		if !errors.Is(err, errCall) {
			t.Errorf("cut after %d bytes by %v", n, err)
		}
		return n
	}
	if n := sent(); n != maxCall {
		t.Errorf("%d bytes of one call were read, want %d", n, maxCall)
	}
	if n := sent(); n != 0 {
		t.Errorf("%d more bytes were read", n)
	}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	room.Store(1000)
	if n := sent(); n != maxCall+1000 {
		t.Errorf("%d bytes of a call with a snapshot were read, want %d", n, maxCall+1000)
	}
	if room.Load() != 0 {
		t.Errorf("there is room for %d bytes more", room.Load())
	}
}

// There is room for a snapshot that the guard has let in, and for no other.
func TestRoomIsForASnapshotThatWasLetIn(t *testing.T) {
	r := rosterOf([]string{"n1", "n2"})
	for _, tt := range []struct {
		version raft.SnapshotVersion
		room    int64
	}{{1, 77}, {2, 0}} {
		g := newGuard(nil, "n2", r, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
		answers := make(chan raft.RPCResponse, 1)
		admitted := g.admits(raft.RPC{RespChan: answers, Command: &raft.InstallSnapshotRequest{
			RPCHeader: of("n1"), SnapshotVersion: tt.version, Term: 1000, Size: 77,
			Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: r}),
		}})
		if admitted != (tt.room > 0) || g.room.Load() != tt.room {
			t.Errorf("version %d: admitted is %v, with room for %d bytes", tt.version, admitted, g.room.Load())
		}
	}
}
