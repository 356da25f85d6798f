package netsim_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"warifu.dev/transport/netsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	here  = "10.0.0.1:1000"
	there = "10.0.0.2:1000"
)

// pair is two hosts, a and b, with a socket each.
func pair(t *testing.T, n *netsim.Network) (a, b net.PacketConn) {
	t.Helper()
	a, err := n.Listen("a", here)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = n.Listen("b", there); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func send(t *testing.T, from, to net.PacketConn, words ...string) {
	t.Helper()
	for _, w := range words {
		if n, err := from.WriteTo([]byte(w), to.LocalAddr()); err != nil || n != len(w) {
			t.Fatal(n, err)
		}
	}
}

// receive reads until nothing comes for a minute.
func receive(t *testing.T, at net.PacketConn) (words []string) {
	t.Helper()
	b := make([]byte, 100)
	for {
		_ = at.SetReadDeadline(time.Now().Add(time.Minute))
		n, from, err := at.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return words
		}
		if err != nil || from == nil {
			t.Fatal(err)
		}
		words = append(words, string(b[:n]))
	}
}

func TestPacketsArriveAfterTheDelayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, netsim.New(1, func(from, to string) time.Duration {
			if from == "a" && to == "b" {
				return 70 * time.Millisecond
			}
			return 0
		}))
		began := time.Now()
		send(t, a, b, "1", "2", "3")
		buf := make([]byte, 1) // a longer packet is cut
		send(t, a, b, "44")
		for _, want := range []string{"1", "2", "3", "4"} {
			if n, from, err := b.ReadFrom(buf); err != nil || string(buf[:n]) != want || from.String() != here {
				t.Fatal(string(buf[:n]), from, err)
			}
		}
		if took := time.Since(began); took != 70*time.Millisecond {
			t.Errorf("took %v", took)
		}
		send(t, b, a, "back")
		if got := receive(t, a); len(got) != 1 {
			t.Error(got)
		}
	})
}

func TestACutIsOfOneDirectionAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1, nil)
		a, b := pair(t, n)
		cut := n.Impose(netsim.Rule{From: "a", To: "b", Loss: 1})
		idle := n.Impose(netsim.Rule{From: "b", To: "c", Loss: 1})
		send(t, a, b, "lost", "lost")
		send(t, b, a, "arrives")
		if got := receive(t, b); len(got) != 0 {
			t.Error(got)
		}
		if got := receive(t, a); len(got) != 1 {
			t.Error(got)
		}
		if cut.Count() != 2 || idle.Count() != 0 {
			t.Errorf("the cut dropped %d, one that nothing passed %d", cut.Count(), idle.Count())
		}
		cut.Heal()
		cut.Heal()
		send(t, a, b, "arrives")
		if got := receive(t, b); len(got) != 1 || cut.Count() != 2 {
			t.Error(got)
		}
		if n.Sent() != 4 {
			t.Error(n.Sent())
		}
	})
}

func TestLossAndDelayComeFromTheSeed(t *testing.T) {
	story := func(seed uint64) (got []string) {
		synctest.Test(t, func(t *testing.T) {
			n := netsim.New(seed, nil)
			a, b := pair(t, n)
			loss := n.Impose(netsim.Rule{To: "b", Loss: 0.3})
			late := n.Impose(netsim.Rule{From: "a", Delay: time.Second, Jitter: time.Second})
			for i := range 100 {
				send(t, a, b, string(rune('A'+i)))
			}
			began := time.Now()
			got = receive(t, b)
			if lost := 100 - len(got); int(loss.Count()) != lost || lost < 10 || lost > 60 || int(late.Count()) != len(got) {
				t.Errorf("%d arrived, %d are said to be lost and %d late", len(got), loss.Count(), late.Count())
			}
			if took := time.Since(began) - time.Minute; took < time.Second || took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
		return got
	}
	first, again, other := story(7), story(7), story(8)
	same := func(a, b []string) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(first, again) || same(first, other) {
		t.Error("what is lost and late does not come from the seed")
	}
}

func TestAHeldHostReadsAndSendsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1, nil)
		a, b := pair(t, n)
		first, second := n.Hold("b"), n.Hold("b")
		send(t, a, b, "waits")
		send(t, b, a, "waits")
		if got := receive(t, b); len(got) != 0 {
			t.Error(got)
		}
		first.Heal()
		if got := receive(t, a); len(got) != 0 {
			t.Errorf("it is held twice, and sent %v", got)
		}
		go func() {
			time.Sleep(30 * time.Second)
			second.Heal()
		}()
		if got := receive(t, b); len(got) != 1 {
			t.Error(got)
		}
		if got := receive(t, a); len(got) != 1 {
			t.Error(got)
		}
		if first.Count() != 2 || second.Count() != 2 {
			t.Error(first.Count(), second.Count())
		}
	})
}

func TestAFullBufferDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, netsim.New(1, nil))
		for range 5000 {
			send(t, a, b, "x")
		}
		if got := receive(t, b); len(got) != 4096 {
			t.Errorf("%d arrived", len(got))
		}
	})
}

func TestSocketsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1, nil)
		a, b := pair(t, n)
		ended := make(chan error)
		go func() {
			_, _, err := b.ReadFrom(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		_ = b.Close()
		_ = b.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, _, err := b.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := b.WriteTo(nil, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		send(t, a, b, "to nobody")
		if _, err := a.WriteTo(nil, &net.TCPAddr{}); err == nil {
			t.Error("a packet to an address of TCP")
		}
		// The address is free again; one that is taken or none is refused.
		again, err := n.Listen("b", there)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for _, address := range []string{here, "localhost:1", ""} {
			if _, err := n.Listen("c", address); !errors.Is(err, netsim.ErrAddress) {
				t.Errorf("%q: %v", address, err)
			}
		}
		chosen, err := n.Listen("c", "10.0.0.3:0")
		if err != nil || chosen.LocalAddr().String() == "10.0.0.3:0" {
			t.Fatal(chosen, err)
		}
		_ = chosen.Close()
	})
}

// A deadline that is set while a read waits ends it.
func TestADeadlineReachesAReadAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, netsim.New(1, nil))
		ended := make(chan error)
		go func() {
			_, _, err := a.ReadFrom(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		_ = a.SetDeadline(time.Now())
		_ = a.SetWriteDeadline(time.Now())
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}
