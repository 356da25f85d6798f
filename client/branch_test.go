package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/tprf"
	"warifu.dev/transport"
)

// branch answers as an honest holder whose clock is n.clock, and then as it is told to
// twist that.
func (n *fakeNode) branch(caller *transport.Caller, body []byte) ([]byte, error) {
	var r api.BranchRequest
	if err := wire.Decode(body, &r); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.lent = append(n.lent, r)
	twist, clock := n.twist, n.clock
	n.mu.Unlock()
	k := n.cluster.key
	answer := api.UnwrapAnswer{Header: api.AnswerHeader{Node: n.id}}
	asked := api.UnwrapRequest{}
	for _, it := range r.Items {
		asked.Items = append(asked.Items, api.UnwrapItem{Prove: r.Each, Use: it.Use})
		if clock != nil && clock().Before(time.Unix(it.From, 0)) {
			answer.Items = append(answer.Items, api.ItemAnswer{Refusal: api.Retry(api.CodeInterval, "not begun")})
			continue
		}
		who := it.Principal
		if who == "" {
			who = caller.Chain[0].URIs[0].String()
		}
		values, err := k.Sets[n.id].Values(sets(r.Sets), tprf.Branch{
			Key: tprf.Key{Cluster: k.Record.Cluster, ID: it.Key, Version: it.Version}, Context: it.Context.Canonical(),
			Interval: tprf.Interval{From: it.From, Seconds: it.Seconds}, Principal: who,
		}.Input())
		if err != nil {
			return nil, err
		}
		a := api.ItemAnswer{Epoch: 1, Index: uint32(k.Places[n.id])}
		if a.Values = joined(values); !r.Each {
			var sum tprf.Value
			for _, v := range values {
				sum = sum.XOR(v)
			}
			a.Values, a.Partial = nil, sum[:]
		}
		answer.Items = append(answer.Items, a)
	}
	if twist != nil {
		if err := twist(&asked, &answer); err != nil {
			return nil, err
		}
	}
	return wire.Encode(answer), nil
}

// lentOut counts the requests for branch keys that all nodes have seen since the last time.
func (c *fakeCluster) lentOut() (count int) {
	for _, n := range c.nodes {
		n.with(func() { count += len(n.lent); n.lent = nil })
	}
	return count
}

// at is a clock that stands, in the middle of a day.
func at(seconds int64) func() time.Time {
	return func() time.Time { return time.Unix(1_800_014_400+seconds, 0) } // 12:00 of some day
}

var byTenant = client.Branch{Length: time.Hour, Names: []string{"tenant"}}

func row(i int) api.Context { return api.Context{"tenant": "a", "row": fmt.Sprint(i)} }

// One branch key makes many items, and one opens them; the items of the next interval, of
// another tenant and of another length take one of their own.
func TestABranchKeyIsAskedForOnce(t *testing.T) {
	for _, shape := range [][2]int{{3, 5}, {2, 3}, {3, 3}} {
		c := symmetric(t, shape[0], shape[1])
		cl := c.named(t, nil)
		k := c.symmetricKey(t, cl)
		cl.SetClock(at(0))
		var items []client.Item
		encrypt := func(in client.Branch, context api.Context, first bool) {
			t.Helper()
			envelope, err := cl.EncryptInBranch(t.Context(), k, in, context, testDEK, "test")
			if err != nil {
				t.Fatal(err)
			}
			if asked := c.lentOut(); first != (asked > 0) {
				t.Fatalf("%d holders were asked", asked)
			}
			items = append(items, client.Item{Envelope: envelope, Context: context})
		}
		for i := range 10 {
			encrypt(byTenant, row(i), i == 0)
		}
		encrypt(byTenant, api.Context{"tenant": "b", "row": "1"}, true)
		encrypt(client.Branch{Length: time.Minute, Names: []string{"tenant"}}, row(1), true)
		encrypt(client.Branch{Length: time.Hour}, row(1), true)
		cl.SetClock(at(3599))
		encrypt(byTenant, row(11), false)
		cl.SetClock(at(3600))
		encrypt(byTenant, row(12), true)

		other := c.named(t, nil)
		other.SetClock(at(3601))
		for i, r := range other.UnwrapBatch(t.Context(), items, "test") {
			if r.Err != nil || !r.DEK.Equal(testDEK) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if asked := c.lentOut(); asked < shape[0] || asked > 3*shape[0] {
			t.Errorf("%d requests for five branch keys", asked)
		}
		for i := len(items) - 1; i >= 0; i-- {
			if _, err := other.Unwrap(t.Context(), items[i].Envelope, items[i].Context, "test"); err != nil {
				t.Fatal(err)
			}
		}
		if asked := c.lentOut(); asked != 0 {
			t.Errorf("%d requests for what is at hand", asked)
		}
		// Its time is over: it is asked for again.
		other.SetClock(at(3601 + 3600))
		if _, err := other.Unwrap(t.Context(), items[0].Envelope, items[0].Context, "test"); err != nil || c.lentOut() == 0 {
			t.Errorf("an hour later: %v", err)
		}
	}
}

// A batch of items of one branch costs one release at each of t holders.
func TestABatchOfABranchTakesOneRelease(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	cl.SetClock(at(0))
	var items []client.Item
	for i := range 300 { // more than one request takes
		envelope, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(i), testDEK, "test")
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, client.Item{Envelope: envelope, Context: row(i)})
	}
	c.lentOut()
	for i, r := range cl.UnwrapBatch(t.Context(), items, "test") {
		if r.Err != nil || !r.DEK.Equal(testDEK) {
			t.Fatalf("%d: %v", i, r.Err)
		}
	}
	ids := map[api.RequestID]bool{}
	for _, n := range c.nodes {
		n.with(func() {
			for _, r := range n.lent {
				if ids[r.RequestID] = true; len(r.Items) != 1 {
					t.Errorf("%s was asked for %d branch keys", n.id, len(r.Items))
				}
			}
			if len(n.asked) > 0 {
				t.Errorf("%s was asked for single items", n.id)
			}
		})
	}
	if asked := c.lentOut(); len(ids) != 1 || asked < 3 || asked > 15 { // who is slow is asked once more
		t.Errorf("%d requests under %d ids", asked, len(ids))
	}
}

// Holders are told the pairs that the branch names, and no others: what is released is
// good for all of them.
func TestHoldersHearTheBranchAlone(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	envelope, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(1), testDEK, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Unwrap(t.Context(), envelope, row(1), "test"); err != nil {
		t.Fatal(err)
	}
	makes, opens := 0, 0
	for _, n := range c.nodes {
		n.with(func() {
			for _, r := range n.lent {
				it := r.Items[0]
				if len(r.Items) != 1 || len(it.Context) != 1 || it.Context["tenant"] != "a" || it.From%3600 != 0 || it.Seconds != 3600 || r.Reason != "test" {
					t.Errorf("%s hears %+v", n.id, r)
				}
				switch {
				case it.Principal == "" && r.Each:
					makes++
				case it.Principal == testPrincipal && !r.Each:
					opens++
				default:
					t.Errorf("%s hears %+v", n.id, r)
				}
			}
		})
	}
	if makes < 4 || opens < 3 {
		t.Errorf("%d were asked to encrypt, %d to open", makes, opens)
	}
	if from, seconds, is := client.IntervalOf(envelope); !is || from%3600 != 0 || seconds != 3600 {
		t.Errorf("it is of the interval %d, %d, %v", from, seconds, is)
	}
	if _, _, is := client.IntervalOf(envelope[:100]); is {
		t.Error("a part of it is of a branch")
	}
	if id, version, err := client.NamedIn(envelope); err != nil || id != k.ID() || version != 1 || k.CheckForm(envelope, row(1)) != nil {
		t.Errorf("it names %v, %d, %v", id, version, err)
	}
}

// One liar spoils no branch, and is found by what opens.
func TestALiarDoesNotSpoilABranch(t *testing.T) {
	for liar := range 5 {
		c := symmetric(t, 3, 5)
		var log lines
		cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
		k := c.symmetricKey(t, cl)
		n := c.nodes[fmt.Sprintf("n%d", liar+1)]
		n.with(func() { n.twist = falsely })
		envelope, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(1), testDEK, "test")
		if err != nil {
			t.Fatal(err)
		}
		dek, err := cl.Unwrap(t.Context(), envelope, row(1), "test")
		if err != nil || !dek.Equal(testDEK) {
			t.Fatalf("with %s: %v", n.id, err)
		}
		if said := log.String(); strings.Contains(said, "a node gave a false partial") && !strings.Contains(said, "node="+n.id) {
			t.Errorf("blamed another than %s: %s", n.id, said)
		}
	}
}

// An item that was altered, or stands under another context, opens with no branch key, and
// keeps none of the others from opening; nobody is blamed.
func TestOneBadItemOfABranch(t *testing.T) {
	c := symmetric(t, 3, 5)
	var log lines
	cl := c.named(t, slog.New(slog.NewTextHandler(&log, nil)))
	k := c.symmetricKey(t, cl)
	var items []client.Item
	for i := range 4 {
		envelope, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(i), testDEK, "test")
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, client.Item{Envelope: envelope, Context: row(i)})
	}
	items[0].Envelope = bytes.Clone(items[0].Envelope)
	items[0].Envelope[len(items[0].Envelope)-1] ^= 1
	items[2].Context = row(9)
	items = append(items, client.Item{Envelope: items[1].Envelope, Context: api.Context{"row": "1"}},
		client.Item{Envelope: items[1].Envelope, Context: api.Context{"tenant": "b", "row": "1"}})
	for range 2 { // the second time with the branch key at hand
		for i, r := range cl.UnwrapBatch(t.Context(), items, "test") {
			if good := i == 1 || i == 3; good != (r.Err == nil) || !good && !errors.Is(r.Err, client.ErrEnvelope) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
	}
	if strings.Contains(log.String(), "false partial") {
		t.Errorf("somebody is blamed: %s", log.String())
	}
}

// A client whose clock is a little ahead encrypts into the interval before, for a moment;
// one that is further ahead is refused.
func TestAClockThatIsAhead(t *testing.T) {
	for ahead, want := range map[int64]bool{0: true, 2: true, 9: true, 11: false} {
		c := symmetric(t, 3, 5)
		cl := c.named(t, nil)
		k := c.symmetricKey(t, cl)
		for _, n := range c.nodes {
			n.with(func() { n.clock = at(-1) })
		}
		cl.SetClock(at(ahead))
		if ahead == 0 {
			cl.SetClock(at(-1))
		}
		envelope, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(1), testDEK, "test")
		if (err == nil) != want {
			t.Errorf("%d s ahead: %v", ahead, err)
		}
		if err != nil && !errors.Is(err, client.ErrQuorum) {
			t.Error(err)
		}
		if err == nil {
			if e, err := tprf.ParseBranched(envelope); err != nil || e.Interval().From != at(-3600)().Unix() {
				t.Errorf("%d s ahead: %+v, %v", ahead, e.Interval(), err)
			}
		}
	}
}

func TestBranchesThatAreRefused(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	for sentence, tt := range map[string]struct {
		in      client.Branch
		context api.Context
		dek     secret.Bytes
		want    error
	}{
		"a length there is not":     {client.Branch{Length: time.Second}, row(1), testDEK, api.ErrInterval},
		"no length":                 {client.Branch{}, row(1), testDEK, client.ErrBranch},
		"a pair that is not there":  {client.Branch{Length: time.Hour, Names: []string{"x"}}, row(1), testDEK, client.ErrBranch},
		"a pair twice":              {client.Branch{Length: time.Hour, Names: []string{"row", "row"}}, row(1), testDEK, client.ErrBranch},
		"a context that is no good": {byTenant, api.Context{"": "x"}, testDEK, api.ErrContext},
		"nothing to encrypt":        {byTenant, row(1), secret.New(nil), tprf.ErrDEK},
	} {
		if _, err := cl.EncryptInBranch(t.Context(), k, tt.in, tt.context, tt.dek, "test"); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	for _, n := range c.nodes {
		n.with(func() { n.twist = refusing(api.CodeDenied) })
	}
	if _, err := cl.EncryptInBranch(t.Context(), k, client.Branch{Length: time.Hour}, row(5), testDEK, "test"); !errors.Is(err, client.ErrDenied) {
		t.Errorf("denied: %v", err)
	}
}

// Many who encrypt at once have the branch key asked for once.
func TestManyEncryptWithOneBranchKey(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	cl.SetClock(at(0))
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(i), testDEK, "test"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	ids := map[api.RequestID]bool{}
	for _, n := range c.nodes {
		n.with(func() {
			for _, r := range n.lent {
				ids[r.RequestID] = true
			}
		})
	}
	if len(ids) != 1 {
		t.Errorf("it was asked for %d times", len(ids))
	}
	cl.Close()
	if _, err := cl.EncryptInBranch(t.Context(), k, byTenant, row(1), testDEK, "test"); err == nil {
		t.Error("a client that is closed encrypts")
	}
}

// A grant lends one branch with each use; what a branch key makes takes none.
func TestABranchTakesOneUseOfAGrant(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	cl.SetClock(at(0))
	g := cl.Granted(api.Digest{7})
	var items []client.Item
	for i := range 3 {
		envelope, err := g.EncryptInBranch(t.Context(), k, byTenant, row(i), testDEK, "test")
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, client.Item{Envelope: envelope, Context: row(i)})
	}
	for _, it := range items {
		if _, err := g.Unwrap(t.Context(), it.Envelope, it.Context, "test"); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[api.RequestID]bool{}
	for _, n := range c.nodes {
		n.with(func() {
			for _, r := range n.lent {
				ids[r.RequestID] = true
				if u := r.Items[0].Use; u == nil || u.Grant != (api.Digest{7}) || u.Slot != 1 {
					t.Errorf("asked by the use %+v", u)
				}
			}
		})
	}
	if len(ids) != 2 {
		t.Errorf("%d requests, one to encrypt and one to open are enough", len(ids))
	}
}
