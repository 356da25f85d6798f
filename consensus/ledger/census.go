package ledger

import (
	"strings"
	"sync"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// census is what is worked out of all keys, once for states that differ in nothing but
// what time brings: a receipt of a revoke says it, and 10,000 keys take a while.
type census struct {
	once sync.Once
	live api.Digest
}

// LiveKeys identifies the epochs that can release.
func (s *State) LiveKeys() api.Digest {
	s.census.once.Do(func() { s.census.live = authority.LiveKeys(s.LiveEpochs()) })
	return s.census.live
}

// SameBut says whether a state differs from another one in nothing but what time brings,
// for sure: what was worked out of the keys of one holds for the other.
func (s *State) SameBut(time *State) bool { return time != nil && s.census == time.census }

// counts says whether what stands at a path may say something of the keys.
func counts(path string) bool {
	return path != pathTime && path != pathStone && !strings.HasPrefix(path, pathAnchor)
}
