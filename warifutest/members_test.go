package warifutest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
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

// snapshots are what the nodes have written their ledgers down to, by node.
func (h *house) snapshots() map[string]string {
	h.Helper()
	all := map[string]string{}
	for _, id := range h.IDs() {
		if !h.Runs(id) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(h.Dir(id), "raft", "snapshot"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.Fatal(err)
		}
		all[id] = string(b)
	}
	return all
}

// compacted waits until every node that runs has another snapshot than before, in the
// place of its log, and none has had a new one for a while.
func (h *house) compacted(before map[string]string) {
	h.Helper()
	const quiet = 90 * time.Second // what comes with the next anchor has come
	changed, last := time.Now(), before
	for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Second) {
		now := h.snapshots()
		if !maps.Equal(now, last) {
			changed, last = time.Now(), now
		}
		done := time.Since(changed) > quiet
		for id, b := range now {
			done = done && b != before[id]
		}
		if done {
			return
		}
	}
	h.Fatal("the nodes have not compacted their logs")
}

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
	t.Parallel()
	inHouse(t, func(h *house) {
		h.compacted(map[string]string{}) // what they were born of
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

// A node that holds shares is replaced: it stays until they are dealt to others and the
// old ones are erased, and of a symmetric key until there is a version without it; and
// then it is gone. What was wrapped before opens after, for a client that knew the roster
// of genesis and has learned the rest; of the symmetric key's first version nodes say who
// has left with a share.
func TestANodeIsReplaced(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		app, key, err := h.Application(warifutest.AppA)
		h.must(err)
		const leaver = "jp-west-2"
		sessions := h.Genesis().Root
		sessions.Purpose, sessions.Name = authority.PurposeEncrypt, "sessions"
		h.submit(authority.KindKey, sessions)
		symmetric := h.version(app, "sessions", 1)
		envelope := h.encrypts(app, symmetric)
		line, err := h.Init(warifutest.Node{ID: sixth, Region: "jp-east"})
		h.must(err)
		known := h.change(authority.KindNodeReplace, authority.Membership{Newcomer: &line, Leaver: leaver})
		h.must(h.Join(sixth, known))
		h.must(h.Start(sixth))
		h.comes(5*time.Minute, "what it waits for", func() (string, bool) {
			w := h.unfinished()
			return w, strings.Contains(w, leaver+" has shares of "+warifutest.KeyName+", sessions, the root key")
		})
		holders := []string{"jp-east-1", "jp-east-2", "jp-west-1", sixth, "sg-1"}
		h.submit(authority.KindReshare, authority.Renewal{Root: true, T: 3, F: 1, Holders: holders, PhaseSeconds: 30})
		h.comes(15*time.Minute, "the symmetric key is all that it waits for", func() (string, bool) {
			opens(h.T, app, key)
			w := h.unfinished()
			return w, strings.HasSuffix(w, leaver+" has shares of sessions")
		})
		id := symmetric.ID()
		sessions.Key, sessions.Version, sessions.Holders = &id, 2, holders
		h.submit(authority.KindKey, sessions)
		h.comes(15*time.Minute, "the end of the replacement", func() (string, bool) {
			opens(h.T, app, key)
			w := h.unfinished()
			return w, w == ""
		})
		h.encrypts(app, h.version(app, "sessions", 2))
		h.comes(5*time.Minute, "the newcomer serves, and who was replaced knows nothing any more", func() (string, bool) {
			opens(h.T, app, key)
			var serves, left bool
			for _, s := range h.asks.Status(h.Context()) {
				switch s.Node {
				case sixth:
					serves = s.Err == nil && s.Answer.State == "serving"
				case leaver:
					left = s.Err != nil || s.Answer.FreshFor <= 0
				}
			}
			return fmt.Sprintf("serves %v, left %v", serves, left), serves && left
		})
		h.must(h.Stop(leaver))
		opens(h.T, app, key)
		h.comes(warifutest.Patience, "what the leaver had a share of opens", func() (string, bool) {
			dek, err := app.Unwrap(h.Context(), envelope, nil, "")
			return fmt.Sprint(err), err == nil && dek.Len() == 32
		})
		h.comes(warifutest.Patience, "nodes say who has left with a share", func() (string, bool) {
			var all []string
			for _, s := range h.asks.Status(h.Context()) {
				if s.Err == nil {
					all = append(all, s.Answer.Warnings...)
				}
			}
			return strings.Join(all, "; "), slices.ContainsFunc(all, func(w string) bool {
				return strings.Contains(w, "version 1 of the key sessions was held by "+leaver+", which left")
			})
		})
		if g := app.Known().Genesis; g.NodeByID(sixth) == nil {
			h.Error("the application does not know the newcomer")
		}
	})
}

// R10: the shares of a key go from 3-of-5 to 4-of-7, two of them nodes that have just
// come, while a client that knows nothing of them unwraps. No request fails, and when
// three of the nodes that it began with are gone, the two are asked.
func TestSharesGoToNewNodesUnderLoad(t *testing.T) {
	inHouse(t, func(h *house) {
		app, key, err := h.Application(warifutest.AppA)
		h.must(err)
		holders := h.IDs()
		for _, n := range []warifutest.Node{{ID: sixth, Region: "jp-east"}, {ID: "sg-7", Region: "sg"}} {
			line, err := h.Init(n)
			h.must(err)
			known := h.change(authority.KindNodeAdd, authority.Membership{Newcomer: &line})
			h.must(h.Join(n.ID, known))
			h.must(h.Start(n.ID))
			h.settled("stranded")
			holders = append(holders, n.ID)
		}
		e, err := h.Desk().Sign(authority.KindReshare, wire.Encode(authority.Renewal{Root: true, T: 4, F: 1, Holders: holders, PhaseSeconds: 30}), api.Digest{})
		h.must(err)
		_, err = h.asks.Submit(h.Context(), e.Encode())
		h.must(err)
		h.comes(15*time.Minute, "the old shares are gone", func() (string, bool) {
			opens(h.T, app, key)
			keys, err := h.asks.Keys(h.Context())
			return fmt.Sprintf("%+v, %v", keys, err), err == nil && len(keys) == 1 && keys[0].T == 4 && len(keys[0].Live) == 1 && len(keys[0].Gone) == 1 && len(keys[0].Gone[0].Await) == 0
		})
		for _, id := range holders[:3] {
			h.must(h.Crash(id))
		}
		opens(h.T, app, key)
		opens(h.T, app, key)
	})
}

// A snapshot that is there may have the signature of a node that has left since. It counts
// for nothing, and the next newcomer takes the snapshot for those of the others.
func TestANodeComesByASnapshotThatWhoLeftHasSigned(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.add()
		h.settled("stranded")
		e, err := h.Desk().Sign(authority.KindRefresh, wire.Encode(authority.Renewal{PhaseSeconds: 30}), api.Digest{})
		h.must(err)
		_, err = h.asks.Submit(h.Context(), e.Encode())
		h.must(err)
		h.compacted(h.snapshots()) // and six have signed
		h.change(authority.KindNodeRemove, authority.Membership{Leaver: sixth})
		time.Sleep(time.Minute)
		h.must(h.Stop(sixth))
		before := h.Installs()
		n := warifutest.Node{ID: "sg-7", Region: "sg"}
		line, err := h.Init(n)
		h.must(err)
		known := h.change(authority.KindNodeAdd, authority.Membership{Newcomer: &line})
		h.must(h.Join(n.ID, known))
		h.must(h.Start(n.ID))
		h.settled("stranded")
		if h.Installs() == before {
			h.Fatal("no snapshot was installed: this test shows nothing")
		}
	})
}

// unfinished is what the nodes that answer say of a change of the roster that goes on.
func (h *house) unfinished() string {
	h.Helper()
	heard := false
	for _, s := range h.asks.Status(h.Context()) {
		if s.Err != nil || s.Answer.State != "serving" {
			continue
		}
		heard = true
		for _, w := range s.Answer.Warnings {
			if strings.Contains(w, "roster") {
				return w
			}
		}
	}
	if !heard {
		return "no node that serves answers"
	}
	return ""
}

// comes waits until something has come, and says what there was in its place.
func (h *house) comes(within time.Duration, what string, look func() (string, bool)) {
	h.Helper()
	var last string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(time.Second) {
		var come bool
		if last, come = look(); come {
			return
		}
	}
	h.Fatalf("%s has not come after %v: %s", what, within, last)
}

// submit has custodians sign a change, and hands it in.
func (h *house) submit(kind string, body any) {
	h.Helper()
	e, err := h.Desk().Sign(kind, wire.Encode(body), api.Digest{})
	h.must(err)
	_, err = h.asks.Submit(h.Context(), e.Encode())
	h.must(err)
}

// version waits until an application believes a version of a key.
func (h *house) version(app *client.Client, name string, version uint32) (key *client.Key) {
	h.Helper()
	h.comes(5*time.Minute, fmt.Sprintf("version %d of %s", version, name), func() (string, bool) {
		k, err := app.Refresh(h.Context(), name)
		if err != nil {
			return err.Error(), false
		}
		key = k
		return fmt.Sprint(k.Version()), k.Version() == version
	})
	return key
}

// encrypts has an application encrypt something under a symmetric key.
func (h *house) encrypts(app *client.Client, key *client.Key) (envelope []byte) {
	h.Helper()
	h.comes(warifutest.Patience, "it encrypts", func() (string, bool) {
		var err error
		envelope, err = app.Encrypt(h.Context(), key, nil, secret.New(make([]byte, 32)), "")
		return fmt.Sprint(err), err == nil
	})
	return envelope
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
