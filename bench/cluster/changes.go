package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
	"warifu.dev/warifutest"
)

// ChangesConfig says how many changes are to be handed in, and how the nodes die
// meanwhile. Every field is required.
type ChangesConfig struct {
	Count      int           // acknowledged changes
	Carriers   int           // clients that hand them in side by side
	CrashEvery time.Duration // a random node is killed so often, and started again
	Seed       uint64
}

// ChangesReport is what became of them.
type ChangesReport struct {
	Acked   int
	Crashes int
	Took    time.Duration // until the last was acknowledged
	Asked   int           // answers of nodes to the question whether they have one
	Lost    []string      // changes that a node does not have where they were acknowledged
}

func (r ChangesReport) String() string {
	return fmt.Sprintf("changes: %d acknowledged in %v across %d crashes, %d answers about them, %d lost",
		r.Acked, r.Took.Round(time.Second), r.Crashes, r.Asked, len(r.Lost))
}

// downFor is how long a killed node stays away at most.
const downFor = 3 * time.Second

// carrier hands in a chain of changes, each against the one before.
type carrier struct {
	name   string
	client *client.Client
	direct *warifutest.Direct
	base   api.Digest
	acked  []acked
}

// acked is a change that was acknowledged as committed.
type acked struct {
	entry []byte
	index uint64
}

// Changes hands in changes as fast as the cluster takes them while nodes are
// killed, then asks every node for every one of them. [Cluster.PutCA] comes before.
func (c *Cluster) Changes(ctx context.Context, cfg ChangesConfig) (ChangesReport, error) {
	var report ChangesReport
	carriers := make([]*carrier, cfg.Carriers)
	for i := range carriers {
		k := &carrier{name: fmt.Sprintf("carrier-%d", i)}
		cert, err := c.NewIdentity("spiffe://test/" + k.name)
		if err != nil {
			return report, err
		}
		if k.client, err = c.Client(cert); err != nil {
			return report, err
		}
		defer k.client.Close()
		k.direct = warifutest.NewDirect(c.genesis, cert, nil)
		defer k.direct.Close()
		carriers[i] = k
	}
	began := time.Now()
	dying, enough := context.WithCancel(ctx)
	var death sync.WaitGroup
	defer death.Wait()
	defer enough()
	death.Go(func() { report.Crashes = c.dieNowAndThen(dying, cfg) })
	var work sync.WaitGroup
	for i, k := range carriers {
		share := cfg.Count / cfg.Carriers
		if i < cfg.Count%cfg.Carriers {
			share++
		}
		work.Go(func() { c.carry(ctx, k, share) })
	}
	work.Wait()
	report.Took = time.Since(began)
	enough()
	death.Wait()
	if err := c.Mend(); err != nil {
		return report, err
	}
	asks, err := c.Custodian()
	if err != nil {
		return report, err
	}
	defer asks.Close()
	if _, err := warifutest.Converged(ctx, asks, func(string) bool { return true }); err != nil {
		return report, err
	}
	var mu sync.Mutex // guards report
	for _, k := range carriers {
		report.Acked += len(k.acked)
		for _, id := range c.IDs() {
			work.Go(func() {
				asked, lost := k.ask(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				report.Asked += asked
				report.Lost = append(report.Lost, lost...)
			})
		}
	}
	work.Wait()
	return report, ctx.Err()
}

// carry hands in so many changes; what is not acknowledged is handed in again.
func (c *Cluster) carry(ctx context.Context, k *carrier, count int) {
	for len(k.acked) < count && ctx.Err() == nil {
		body := wire.Encode(authority.CA{Name: k.name, Certificate: c.desk.ca.Raw})
		e, err := c.Sign(authority.KindCA, body, k.base)
		if err != nil {
			panic(fmt.Sprintf("cluster: sign a change: %v", err)) // the desk's own keys
		}
		entry := e.Encode()
		for ctx.Err() == nil {
			a, err := k.client.Submit(ctx, entry)
			if err == nil {
				k.base = a.ID
				k.acked = append(k.acked, acked{entry, a.Index})
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(statusEvery):
			}
		}
	}
}

// ask hands every change to one node again, which says where it has it.
func (k *carrier) ask(ctx context.Context, id string) (asked int, lost []string) {
	for _, a := range k.acked {
		for ctx.Err() == nil {
			got, err := k.direct.Submit(ctx, id, a.entry)
			if err != nil { // too many a second; a refusal would stay one
				select {
				case <-ctx.Done():
				case <-time.After(statusEvery):
				}
				continue
			}
			asked++
			if got.Taken || got.Index != a.index {
				lost = append(lost, fmt.Sprintf("%s has the change %s at %d, it was acknowledged at %d", id, got.ID, got.Index, a.index))
			}
			break
		}
	}
	return asked, lost
}

// dieNowAndThen kills a random node and starts it again, until ctx ends.
func (c *Cluster) dieNowAndThen(ctx context.Context, cfg ChangesConfig) (crashes int) {
	random := rand.New(rand.NewPCG(cfg.Seed, 0))
	wait := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
			return true
		}
	}
	for wait(cfg.CrashEvery) {
		id := c.IDs()[random.IntN(len(c.IDs()))]
		if c.killOne(id) != nil {
			continue
		}
		crashes++
		wait(time.Duration(random.Int64N(int64(downFor))))
		if err := c.startAgain(id); err != nil {
			c.Trace("start %s again: %v", id, err)
		}
	}
	return crashes
}
