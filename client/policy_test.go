package client

import (
	"testing"

	"warifu.dev/api"
)

func TestTheNewestPolicyIsTheOneThatMoreThanTheLiarsShow(t *testing.T) {
	old := func(index uint64) *api.PolicyAnswer {
		return &api.PolicyAnswer{Document: []byte("old"), Digest: api.Digest{1}, Change: api.Digest{1}, Index: index}
	}
	next := func(index uint64) *api.PolicyAnswer {
		return &api.PolicyAnswer{Document: []byte("new"), Digest: api.Digest{2}, Change: api.Digest{2}, Index: index}
	}
	made := &api.PolicyAnswer{Document: []byte("made up"), Digest: api.Digest{2}, Change: api.Digest{2}, Index: 1 << 60}
	none := &api.PolicyAnswer{Index: 3}
	const ever = ^uint64(0)
	for _, row := range []struct {
		name    string
		answers []*api.PolicyAnswer
		liars   int
		want    string
	}{
		{"all show one", []*api.PolicyAnswer{next(9), next(9), next(8)}, 1, "new"},
		{"nodes that are behind", []*api.PolicyAnswer{old(7), old(7), old(6), next(9), next(8)}, 1, "new"},
		{"a liar makes one up", []*api.PolicyAnswer{made, next(9), next(9), old(7)}, 1, "new"},
		{"a liar holds up the old one", []*api.PolicyAnswer{old(ever), old(7), next(9), next(9)}, 1, "new"},
		{"two of two liars do", []*api.PolicyAnswer{old(ever), old(ever), old(7), next(9), next(9), next(9)}, 2, "new"},
		{"too few to tell", []*api.PolicyAnswer{old(7), next(9)}, 1, "new"},
		{"one alone", []*api.PolicyAnswer{old(7)}, 1, "old"},
		{"nobody may lie", []*api.PolicyAnswer{old(7), old(7), next(9)}, 0, "new"},
		{"there was none before", []*api.PolicyAnswer{none, none, next(9), next(9)}, 1, "new"},
	} {
		if got := newestPolicy(row.answers, row.liars); string(got.Document) != row.want {
			t.Errorf("%s: %q at %d", row.name, got.Document, got.Index)
		}
	}
}
