package main

import (
	"io"
	"strings"
	"testing"

	"warifu.dev/bench"
)

func TestFlagsThatAreWrongAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Setenv("WARIFU_HOME", "")
	for args, says := range map[string]string{
		"":                                   "which cluster?",
		"--start -o yaml":                    "table or json",
		"--start -n 0":                       "operations",
		"--start --nodes 2":                  "3 to 16 nodes",
		"--start -c 100000":                  "in flight",
		"--home /nonexistent":                "no cluster is known",
		"--home /nonexistent --pid 4711":     "NAME=PID",
		"--home /nonexistent --pid node-1=x": "NAME=PID",
		"more":                               "unknown command",
	} {
		c := decryptCommand()
		c.SetArgs(strings.Fields(args))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", args, err, says)
		}
	}
}

func TestEachVerbHoldsItsNumbersAgainstTheirBounds(t *testing.T) {
	t.Setenv("WARIFU_HOME", "")
	t.Setenv(peerTokenVariable, "")
	for args, says := range map[string]string{
		"goals --start -n 0":                                         "operations",
		"goals --start --rounds 0":                                   "rounds",
		"goals --start -o yaml":                                      "table or json",
		"goals":                                                      "which cluster?",
		"load --start --batch 1000":                                  "batches",
		"load --start --rate -1":                                     "a rate",
		"load --start --for 10s":                                     "--for needs --rate",
		"load --start --rate 0.1 --for 5s":                           "operations",
		"load --home /nonexistent --clients 64":                      "64 clients of one identity",
		"load --home /nonexistent":                                   "no cluster is known",
		"load --start --envelopes 2000000":                           "envelopes",
		"compare":                                                    "--",
		"compare --pairs 6":                                          "7 to 20 pairs",
		"compare -n 0":                                               "operations",
		"load --nodes 3":                                             "need --start",
		"load --start --nodes 2":                                     "3 to 16 nodes",
		"goals --start --nodes 17":                                   "3 to 16 nodes",
		"goals --start --threshold 5":                                "2 to 4 open",
		"load --start --nodes 7 --threshold 1":                       "2 to 6 open",
		"load --start --round-trips /nowhere":                        "no such file",
		"load --start --keys 1001":                                   "1 to 1000",
		"load --keys 2":                                              "--keys needs --start",
		"load --start --nodes 7 --fail kill --rate 5":                "the demo's five nodes",
		"load --start --type symmetric --encrypt --floor":            "--floor is about",
		"scale --sizes 2":                                            "3 to 16 nodes",
		"scale --cores 0":                                            "one core",
		"scale -n 0":                                                 "operations",
		"scale -o yaml":                                              "table or json",
		"load --start --type round":                                  "--type is",
		"load --type symmetric":                                      "--type needs --start",
		"load --start --encrypt":                                     "--encrypt needs --type symmetric",
		"load --start --type symmetric --encrypt --envelopes 2":      "a new envelope each time",
		"load --start --cores -1":                                    "one core at least",
		"load --start --fail rain --rate 1":                          "--fail is kill",
		"load --fail kill --rate 1":                                  "--fail needs --start",
		"load --start --fail kill":                                   "a rate is needed",
		"load --start --fail kill --rate 5 --for 5s":                 "lasts as long",
		"load --start --fail kill --rate 5 --fail-for 1h":            "a failure lasts",
		"load --start --fail lie --rate 5":                           "built to lie",
		"load --start --fail kill,reshare --type symmetric --rate 5": "about asymmetric keys",
		"load --start --fail kill --rate 5 --peer vault=http://127.0.0.1:1": "no --peer",
		"goals --start --cores -1":                                            "one core at least",
		"goals --overload 60s":                                                "needs --start",
		"goals --start --overload 1ms":                                        "an overload of 1 s",
		"load --start --peer http://x":                                        "vault=URL",
		"goals --start --peer kes=http://x":                                   "vault=URL",
		"goals --start --peer-token-file x":                                   "no --peer",
		"goals --peer vault=http://127.0.0.1:1":                               "nothing in $WARIFU_PEER_TOKEN",
		"load --peer vault=http://127.0.0.1:1 --peer-token-file /nonexistent": "no such file",
		"load --peer vault=http://192.0.2.1 --peer-token-file main_test.go":   "by https alone",
	} {
		verb, rest, _ := strings.Cut(args, " ")
		c := goalsCommand()
		switch verb {
		case "load":
			c = loadCommand()
		case "scale":
			c = scaleCommand()
		case "compare":
			c = compareCommand()
		}
		c.SetArgs(strings.Fields(rest))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", args, err, says)
		}
	}
}

// Regions are as far from each other as the other way round, and any three open.
func TestRoundTripsAreSymmetric(t *testing.T) {
	if len(roundTrips) != len(regions)+1 {
		t.Fatalf("%d rows for %d regions and the clients", len(roundTrips), len(regions))
	}
	for i, row := range roundTrips {
		if len(row) != len(roundTrips) {
			t.Fatalf("row %d has %d", i, len(row))
		}
		for k, d := range row {
			if d != roundTrips[k][i] || (i == k) != (d == 0) || d > 150*ms || i != k && d < 5*ms {
				t.Errorf("between %d and %d: %v", i, k, d)
			}
		}
	}
	if place(slowNode) == len(regions) || place(deadNode) == len(regions) || place("") != len(regions) {
		t.Error("who suffers is not there")
	}
}

func TestAPeerIsAKindAndAURL(t *testing.T) {
	for _, s := range []string{"", "vault", "vault=", "kes=http://127.0.0.1:1", "http://127.0.0.1:8200"} {
		if _, _, err := parsePeer(s); err == nil {
			t.Errorf("%q is a peer", s)
		}
	}
	if kind, at, err := parsePeer("vault=https://h:8200"); kind != bench.PeerVault || at != "https://h:8200" || err != nil {
		t.Errorf("%q, %q, %v", kind, at, err)
	}
}
