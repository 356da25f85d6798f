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
	return orWord(a.knownName(id), "not known here; see: warifu key show "+id.String())
}

func (a *app) knownName(id api.KeyID) string {
	if h, err := a.loadHome(); err == nil {
		if k, err := h.Record(id); err == nil {
			return k.Name()
		}
	}
	return ""
}

// viewChange reads everything that a change says, and what is known here of the names of
// its keys.
func (a *app) viewChange(e *authority.Entry, g *authority.Genesis) (*changeView, error) {
	v, err := viewChange(e, g)
	if err != nil {
		return nil, err
	}
	for _, id := range v.keys() {
		if name := a.knownName(id); name != "" {
			if v.KeyNames == nil {
				v.KeyNames = map[string]string{}
			}
			v.KeyNames[id.String()] = name
		}
	}
	return v, nil
}

// keys are those that the change names by their ids.
func (v *changeView) keys() (out []api.KeyID) {
	switch {
	case v.Key != nil && v.Key.Rotates != nil:
		out = append(out, *v.Key.Rotates)
	case v.Denies != nil && v.Denies.Kind == authority.SubjectKey:
		if id, err := api.ParseDigest(v.Denies.Name); err == nil {
			out = append(out, api.KeyID(id))
		}
	case v.KeyState != nil:
		out = append(out, v.KeyState.Key)
	case v.KeyLabels != nil:
		out = append(out, v.KeyLabels.Key)
	case v.Destroys != nil:
		out = append(out, v.Destroys.Key)
	case v.Renewal != nil:
		out = v.Renewal.Keys
	case v.Escrows != nil:
		out = append(out, v.Escrows.Key)
	}
	return out
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
