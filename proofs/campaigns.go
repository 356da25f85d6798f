package main

import (
	"regexp"
	"time"
)

// campaigns are the long runs, each with the line in which it counts.
var campaigns = []campaign{
	{
		name: "fuzz", what: "every decoder is fuzzed for its share of ten minutes",
		command: []string{"make", "fuzz"}, patient: 30 * time.Minute,
		says: regexp.MustCompile(`(?m)^[0-9]+ fuzz targets ran.*$`),
	},
	{
		name: "schedules", what: "a thousand simulated clusters suffer twenty faults each",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=3h", "-run=^TestSchedules$", "./warifutest", "-schedules=1000"}, patient: 3 * time.Hour,
		says: regexp.MustCompile(`(?m)^schedules: 1000, .* 0 violations$`),
	},
	{
		name: "processes", what: "real processes are killed and stopped",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=1h", "-run=^TestRealProcessesSuffer$", "./bench/cluster", "-runs=10", "-faults=20"}, patient: time.Hour,
		says: regexp.MustCompile(`(?m)^runs on real processes: 10, .* 0 violations$`),
	},
	{
		name: "revokes", what: "20,000 revokes race 200,000 unwraps in simulated clusters that suffer",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=2h", "-run=^TestRevokesRaceUnwraps$", "./warifutest", "-races=10", "-revokes=2000", "-unwraps=20000"}, patient: 2 * time.Hour,
		says: regexp.MustCompile(`(?m)^races: 10, .* 0 violations$`),
	},
	{
		name: "revokes-processes", what: "revokes race unwraps while real processes are killed and stopped",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=1h", "-run=^TestRevokesRaceUnwrapsOnRealProcesses$", "./bench/cluster", "-revokes=1000", "-unwraps=10000", "-faults=50"}, patient: time.Hour,
		says: regexp.MustCompile(`(?m)^races on real processes: 1, .* 0 violations$`),
	},
	{
		name: "changes", what: "acknowledged changes survive crashes",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=4h", "-run=^TestAcknowledgedChangesSurviveCrashes$", "./bench/cluster", "-changes=100000", "-crash-every=15s"}, patient: 4 * time.Hour,
		says: regexp.MustCompile(`(?m)^changes: 100000 acknowledged .* 0 lost$`),
	},
	{
		name: "births", what: "each misbehaviour in a birth, with every threshold of 3 to 9 holders",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=2h", "-run=^TestBirthsSurviveBadDealers$", "./consensus/ledger", "-everything"}, patient: 2 * time.Hour,
		says: regexp.MustCompile(`[0-9]+ misbehaviours in [0-9]+ births, each followed by one that succeeds`),
	},
	{
		name: "kills", what: "each node is killed at each step, before it and after it",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=2h", "-run=MayBeTheLast$|ANodeMayDie", "./bench/cluster", "-every-node", "-running"}, patient: 2 * time.Hour,
		says: regexp.MustCompile(`(?m)^[0-9]+ deaths at [0-9]+ of [0-9]+ steps of [0-9]+ nodes, .*, and all agreed$`),
	},
	{
		name: "turnover", what: "shares, members and versions turn over on real processes, under half of the peak load",
		command: []string{"make", "turnover"}, patient: time.Hour,
		says: regexp.MustCompile(`(?m)^(\| .* \||turnover: .* 0 failed, .*)$`),
	},
	{
		name: "flood", what: "strangers, applications, another cluster's custodians and replays flood running ceremonies",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=1h", "-run=^TestACeremonyEndsUnderAFlood$", "./bench/cluster", "-flood=25000", "-flood-timed"}, patient: time.Hour,
		says: regexp.MustCompile(`(?m)^flood: 100000 calls, each refused by name; .*$`),
	},
	{
		name: "releases", what: "strace watches a thousand releases",
		command: []string{"go", "test", "-v", "-count=1", "-timeout=30m", "-run=^TestEveryReleaseIsSyncedBeforeItIsSent$", "./bench/cluster"}, patient: 30 * time.Minute,
		says: regexp.MustCompile(`[0-9]+ releases, [0-9]+ synced before sent.*`),
	},
}
