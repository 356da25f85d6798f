package client

import (
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Who has left the roster can sign records of its last version for ever: a client that
// knows a later roster takes none of them, whatever epoch they say to be of.
func TestARecordOfAnEarlierRosterIsNotTaken(t *testing.T) {
	record := func(roster, version uint64) *Key {
		return &Key{record: &authority.VerifiedRecord{KeyRecord: authority.KeyRecord{Version: 1, Epoch: version, RosterVersion: roster, RecordVersion: version}}}
	}
	c := &Client{keys: map[keyVersion]*Key{}, newest: map[api.KeyID]*Key{}, names: map[string]*Key{}}
	has := record(3, 2)
	for _, next := range []struct {
		roster, version uint64
		taken           bool
	}{{3, 1, false}, {2, 9, false}, {2, 2, false}, {3, 3, true}, {4, 3, true}} {
		clear(c.keys)
		c.keep(has)
		k := record(next.roster, next.version)
		if k.after(has) != next.taken {
			t.Errorf("a record of roster %d and version %d comes after: %v", next.roster, next.version, !next.taken)
		}
		if got := c.keep(k); (got.record == k.record) != next.taken {
			t.Errorf("a record of roster %d and version %d is kept: %v", next.roster, next.version, !next.taken)
		}
	}
}
