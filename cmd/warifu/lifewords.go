package main

import (
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// keyStateView is a change of a key's state, in words.
type keyStateView struct {
	Key   api.KeyID          `json:"key"`
	To    authority.KeyState `json:"to"`
	Means string             `json:"means"`
}

// keyStateMeans says what each state does to what custodians put into it.
var keyStateMeans = map[authority.KeyState]string{
	authority.Active:      "This key wraps and opens again, as far as policy goes:",
	authority.Suspended:   "Nothing is wrapped under this key, and nothing under it is opened, until custodians enable it:",
	authority.Deactivated: "Nothing new is wrapped under this key, for good; what is under it opens, as far as policy goes:",
	authority.Compromised: "Nothing is wrapped under this key, and nothing under it is opened, for good; no change takes that back:",
}

func viewKeyState(c *authority.Change) (*keyStateView, error) {
	k, err := authority.ParseKeyState(c)
	if err != nil {
		return nil, err
	}
	return &keyStateView{k.Key, k.To, keyStateMeans[k.To]}, nil
}

func (v *keyStateView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, v.Means)
	facts(w, "  key id", v.Key.String(), "  name", a.keyName(v.Key), "  state", string(v.To))
}

// keyName is what the record that is kept here calls a key: custodians ordered it under
// this name. What a node calls it is not asked: a change is about the id.
func (a *app) keyName(id api.KeyID) string {
	if h, err := a.loadHome(); err == nil {
		if k, err := h.Record(id); err == nil {
			return k.Name()
		}
	}
	return "not known here; see: warifu key show " + id.String()
}

// keyLabelsView is what is said of a key, in words.
type keyLabelsView struct {
	Key      api.KeyID         `json:"key"`
	Owner    string            `json:"owner,omitempty"`
	Labels   map[string]string `json:"labels"`
	NotAfter int64             `json:"not_after_ms,omitempty"`
}

func viewKeyLabels(c *authority.Change) (*keyLabelsView, error) {
	k, err := authority.ParseKeyLabels(c)
	if err != nil {
		return nil, err
	}
	return &keyLabelsView{k.Key, k.Owner, k.Labels, k.NotAfter}, nil
}

func (v *keyLabelsView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, "This is all that is said of this key from then on; policies see its labels:")
	pairs := []string{"  key id", v.Key.String(), "  name", a.keyName(v.Key), "  owner", orWord(v.Owner, "nobody"), "  expires", instantOr(v.NotAfter, "never")}
	name := "  labels"
	for _, l := range labelled(v.Labels) {
		pairs = append(pairs, name, l)
		name = ""
	}
	if len(v.Labels) == 0 {
		pairs = append(pairs, name, "none")
	}
	facts(w, pairs...)
	if v.NotAfter != 0 && v.NotAfter <= now().UnixMilli() {
		fmt.Fprintln(w, a.loud("  ! it expires at once: what is under it opens, nothing new is wrapped, and that is for good"))
	}
}

// stops says whether a change denies something from the moment that a node has it: it
// is then handed to every node as well.
func stops(c *authority.Change) bool {
	_, err := authority.ParseDenial(c)
	return err == nil
}
