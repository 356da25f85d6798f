package gate

import (
	"warifu.dev/api"
	"warifu.dev/authority"
)

// checkState asks both states, and this node's clock, whether the key may release
// where it stands in its life; one that is deactivated opens, and encrypts nothing. Only
// a caller who may use the key hears that it may not.
func (g *Gate) checkState(a *asked, it *item) *api.Error {
	now := g.cfg.Now().UnixMilli()
	stopped := authority.Subject{Kind: authority.SubjectKeyState, Name: it.key.ID.String()}
	for _, s := range a.states() {
		if state := s.KeyState(it.key.ID, now); !state.Unwraps() || it.makes() && !state.Wraps() {
			it.why = "key: it is " + string(state)
			return g.toPermitted(a, it, api.Refuse(api.CodeKeyState, "the key is %s", state))
		}
		if by, is := s.Revoked(stopped); is {
			it.why = "key: stopped by " + by.String()
			return g.toPermitted(a, it, api.Refuse(api.CodeKeyState, "the key is stopped by custodians"))
		}
	}
	return nil
}

// usage is how often this node has released partials of a key since it started.
type usage struct {
	count uint64
	last  int64 // Unix milliseconds
}

// Uses says how often this node has released partials of a key since it started, and
// when last, in Unix milliseconds; zeros if it has not.
func (g *Gate) Uses(key api.KeyID) (count uint64, last int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.uses[key]
	return u.count, u.last
}

// used counts a release. There are as many counts as the ledger has keys.
func (g *Gate) used(key api.KeyID) {
	now := g.cfg.Now().UnixMilli()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.uses[key] = usage{g.uses[key].count + 1, now}
}
