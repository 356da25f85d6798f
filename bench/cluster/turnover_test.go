package cluster_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
)

var refreshes = flag.Int("refreshes", 0, "how many refreshes come before nodes come and go: a minute and a half each; 0 for the short story")

// Shares turn over, members come and go, and a key gets another version, while a client
// that knows nothing of it unwraps at half of the peak: not one request fails, and what
// was ever wrapped opens. In short it is one refresh and one reshare, under a load that is
// small, and a client that is patient, since other tests share the machine: what fails
// then fails because it is refused. R10
func TestNoRequestFailsWhileSharesTurnOver(t *testing.T) {
	var of cluster.Config
	if *refreshes == 0 {
		of.ClientTimeout = patience
	}
	c, key, cl := start(t, of)
	second, err := c.CreateKey(within(t, patience), "archive")
	if err != nil {
		t.Fatal(err)
	}
	cfg := cluster.TurnoverConfig{Keys: []*client.Key{key, second}, Client: cl, Measure: time.Second, PhaseSeconds: 30}
	patient := 3 * patience
	if cfg.Pace = 100; *refreshes > 0 {
		cfg.Pace = 0
		cfg.Refreshes, cfg.Measure = *refreshes, 20*time.Second
		patient = 55 * time.Minute
	}
	m := bench.ThisMachine()
	r, err := c.Turnover(within(t, patient), cfg)
	fmt.Printf("%s, %d cores, load before %s: %s\n%s%v\n", m.CPU, m.Cores, m.Load, m.Command, r.Table(), r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed > 0 || r.Unwraps == 0 || r.Opened == 0 || r.Opened != r.Wrapped {
		t.Error("a request failed, or an envelope did not open")
	}
}
