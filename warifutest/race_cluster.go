package warifutest

import (
	"time"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/consensus"
)

// RaceSnapshots makes the nodes of a race write their ledgers down so often, and
// keep so little of their logs, that one that was away for [RaceConfig.Sleep] is
// brought up by a snapshot.
var RaceSnapshots = consensus.Policy{Segment: 16 << 10, Interval: 8 * time.Second, Threshold: 96, Trailing: 32}

// Race is a race on this cluster, for which [Options.Snapshots] is [RaceSnapshots].
func (c *Cluster) Race(seed uint64) (RaceConfig, error) {
	key, err := client.ParseKey(c.birth.genesis, c.birth.key)
	return RaceConfig{
		Subject: c, Sign: c.birth.desk.Sign, Client: c.Client, Open: c.Open, Key: key, Base: c.birth.policy, Seed: seed,
		Lanes: map[string]int{
			authority.SubjectPrincipal: 32, authority.SubjectCertificate: 4, authority.SubjectKey: 3, authority.SubjectCA: 1,
		},
		Pause: 7 * time.Second, Calm: 20 * time.Second, Sleep: 40 * time.Second,
		Installed: c.Installs,
	}, err
}
