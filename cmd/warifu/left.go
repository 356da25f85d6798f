package main

import (
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
)

// left is what a node's state is called that is on the roster no more.
const left = "has left"

// hasLeft is the node that the last change of the roster took off it, once it is off, or
// "". That stands in the ledger and in no change, so that it goes by what nodes say: at
// least t that are up to date answer, and none of them says that the change is not
// finished. It is for the eyes alone, and decides nothing.
func hasLeft(known *authority.Succession, statuses []client.NodeStatus) string {
	leaver, agree := known.Roll.Leaver, 0
	if leaver == "" {
		return ""
	}
	for _, s := range statuses {
		if s.Err != nil || s.Answer.FreshFor <= 0 {
			continue
		}
		unfinished := slices.ContainsFunc(s.Answer.Warnings, func(w string) bool { return strings.HasPrefix(w, api.RosterUnfinished) })
		if unfinished || s.Node == leaver {
			return ""
		}
		agree++
	}
	if agree < int(known.Genesis.Root.T) {
		return ""
	}
	return leaver
}
