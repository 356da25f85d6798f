package node

import (
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/consensus/ledger"
)

// Bounds of what status says of versions that do not come.
const (
	lateVersion     = time.Hour // by ledger time past the period; until then it is being born
	maxLateVersions = 8
)

// lateWords warns of new shares that are due by the policy for a while, and of keys whose
// next version is by their orders, and that have not come: holders are down, or other ones
// than the order names.
func lateWords(s *ledger.State) []string {
	var out []string
	if due := s.RotationDue(); due != 0 && s.Time() > due+lateVersion.Milliseconds() {
		out = append(out, fmt.Sprintf("%s: new shares of all keys were due at %s by the policy, and no node has begun: rotate-shares --status says what is under way; rotate-shares --all orders them by hand",
			api.RotationOverdue, time.UnixMilli(due).UTC().Format(time.RFC3339)))
	}
	for _, id := range s.VersionsLate(lateVersion.Milliseconds(), maxLateVersions) {
		out = append(out, fmt.Sprintf(api.RotationOverdue+": version %d of the key %s was due at %s by its order and is not born: key list says whether it is on its way; if the key has other holders than its order names, key rotate orders it anew",
			s.Key(id).Version+1, nameOf(s, id), time.UnixMilli(s.VersionDue(id)).UTC().Format(time.RFC3339)))
	}
	return out
}
