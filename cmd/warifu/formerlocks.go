package main

import (
	"fmt"
	"strings"

	"warifu.dev/api"
	"warifu.dev/client"
)

// formerLocks is which nodes may still be locked for custodians who were replaced, as
// the node says that has read the ledger furthest.
func formerLocks(nodes []client.NodeStatus) []api.FormerLock {
	var furthest *api.StatusAnswer
	for _, s := range nodes {
		if s.Answer != nil && (furthest == nil || s.Answer.Index > furthest.Index) {
			furthest = s.Answer
		}
	}
	if furthest == nil {
		return nil
	}
	return furthest.FormerLocks
}

func formerLockWords(l api.FormerLock) string {
	return oneLine(fmt.Sprintf("%s: locked for the custodians before, %s: they keep their files", l.Node, strings.Join(l.Custodians, ", ")))
}
