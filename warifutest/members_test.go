package warifutest_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/warifutest"
)

// house is a cluster whose roster changes.
type house struct {
	*testing.T
	*warifutest.Cluster
	asks *client.Client
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// change has custodians sign a change of the roster, and hands it in.
func (h *house) change(kind string, m authority.Membership) *authority.Succession {
	h.Helper()
	known, err := h.asks.Custody(h.Context())
	h.must(err)
	e, err := h.Desk().Sign(kind, wire.Encode(m), known.Roll.Change)
	h.must(err)
	_, err = h.asks.Submit(h.Context(), e.Encode())
	h.must(err)
	if known, err = known.Next(e.Encode()); err != nil {
		h.Fatal(err)
	}
	h.asks, err = h.CustodianWith(known)
	h.must(err)
	return known
}

// settled waits until every node that runs has the same ledger, and no change of the
// roster is unfinished there.
func (h *house) settled(states ...string) {
	h.Helper()
	var waiting []string
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		waiting = nil
		at := map[api.Digest]bool{}
		for _, s := range h.asks.Status(h.Context()) {
			switch {
			case !h.Runs(s.Node):
			case s.Err != nil:
				waiting = append(waiting, s.Err.Error())
			case s.Answer.FreshFor <= 0 || !slices.Contains(append(states, "serving"), s.Answer.State):
				waiting = append(waiting, s.Node+" is "+s.Answer.State)
			case slices.ContainsFunc(s.Answer.Warnings, func(w string) bool { return strings.Contains(w, "roster") }):
				waiting = append(waiting, s.Node+": "+strings.Join(s.Answer.Warnings, "; "))
			default:
				at[s.Answer.Link] = true
			}
		}
		if len(waiting) == 0 && len(at) == 1 {
			return
		}
	}
	h.Fatal(strings.Join(waiting, "\n"))
}

func inHouse(t *testing.T, f func(h *house)) {
	warifutest.Run(t, warifutest.Options{Seed: 7}, func(t *testing.T, c *warifutest.Cluster) {
		h := &house{T: t, Cluster: c}
		var err error
		h.asks, err = c.Custodian()
		h.must(err)
		f(h)
	})
}

const sixth = "jp-east-6"

// add has the sixth node come, and returns the chain that brought it.
func (h *house) add() *authority.Succession {
	h.Helper()
	line, err := h.Init(warifutest.Node{ID: sixth, Region: "jp-east"})
	h.must(err)
	known := h.change(authority.KindNodeAdd, authority.Membership{Newcomer: &line})
	h.must(h.Join(sixth, known))
	h.must(h.Start(sixth))
	return known
}

// R31: a sixth node joins by what custodians signed, follows, votes, and answers; what is
// released goes on meanwhile. It holds no share, and leaves again at a signature.
func TestASixthNodeComesAndGoes(t *testing.T) {
	inHouse(t, func(h *house) {
		app, key, err := h.Application(warifutest.AppA)
		h.must(err)
		h.add()
		h.settled("stranded") // it has no share of the root key
		for _, s := range h.asks.Status(h.Context()) {
			if s.Node == sixth && (s.Err != nil || s.Answer.Anchors[sixth] == 0 || s.Answer.AuditRecords == 0) {
				h.Errorf("%v, %+v", s.Err, s.Answer)
			}
		}
		opens(h.T, app, key)
		h.change(authority.KindNodeRemove, authority.Membership{Leaver: sixth})
		time.Sleep(time.Minute)
		for _, s := range h.asks.Status(h.Context()) {
			switch {
			case s.Err != nil:
				h.Error(s.Err)
			case s.Node == sixth && s.Answer.FreshFor > 0:
				h.Error("a node that is on the roster no more takes itself for one that knows")
			case s.Node != sixth && (s.Answer.Anchors[sixth] != 0 || len(s.Answer.Warnings) > 1):
				h.Errorf("%s: %v, %v", s.Node, s.Answer.Anchors, s.Answer.Warnings)
			}
		}
		opens(h.T, app, key)
	})
}

// The log that a newcomer would read may be gone, and the snapshot in its place older than
// the change that brought it.
func TestASixthNodeComesByASnapshotOfBefore(t *testing.T) {
	inHouse(t, func(h *house) {
		time.Sleep(20 * time.Minute) // every node has compacted what it was born of
		before := h.Installs()
		h.add()
		h.settled("stranded")
		if h.Installs() == before {
			h.Fatal("no snapshot was installed: this test shows nothing")
		}
	})
}

// The plan is in the ledger: whoever leads goes on with it, and a node that was away
// learns of a newcomer that leads.
func TestARosterChangesAcrossLeadersAndAbsence(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.Stop("sg-1"))
		h.add()
		for range 3 {
			leader := ""
			for _, s := range h.asks.Status(h.Context()) {
				if s.Err == nil && s.Answer.Leader != "" {
					leader = s.Answer.Leader
				}
			}
			if leader == "" || leader == "sg-1" || !h.Runs(leader) {
				time.Sleep(10 * time.Second)
				continue
			}
			h.must(h.Crash(leader))
			time.Sleep(5 * time.Second)
			h.must(h.Start(leader))
			time.Sleep(10 * time.Second)
		}
		h.must(h.Start("sg-1"))
		h.settled("stranded") // it has no share of the root key
	})
}

// opens has an application wrap something, and open it.
func opens(t *testing.T, app *client.Client, key *client.Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	envelope, err := key.Wrap(rand.Reader, nil, secret.New(make([]byte, 32)))
	if err == nil {
		_, err = app.Unwrap(ctx, envelope, nil, "members come and go")
	}
	if err != nil {
		t.Error(err)
	}
}
