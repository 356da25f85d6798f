package cluster

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"warifu.dev/authority"
	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

// Kinds are the faults that real processes can be made to suffer: SIGKILL and a
// start, SIGSTOP and SIGCONT.
func Kinds() []schedule.Kind { return []schedule.Kind{schedule.Crash, schedule.Pause} }

var _ warifutest.Subject = (*Cluster)(nil)

// Inflict implements [schedule.Target], for [Kinds] alone. Nodes that do not run
// are passed over.
func (c *Cluster) Inflict(f schedule.Fault) (schedule.Inflicted, error) {
	var strike, heal func(id string) error
	switch f.Kind {
	case schedule.Crash:
		strike, heal = c.killOne, c.startAgain
	case schedule.Pause:
		strike, heal = c.hold, c.letGo
	default:
		return schedule.Inflicted{}, fmt.Errorf("%w: %s, of real processes", schedule.ErrKind, f.Kind)
	}
	var struck []string
	for _, id := range f.Nodes {
		if err := strike(id); err == nil {
			struck = append(struck, id)
		}
	}
	if len(struck) == 0 {
		return schedule.Inflicted{}, fmt.Errorf("%s: none of the nodes runs", f.Kind)
	}
	c.Trace("fault: %v", f)
	return schedule.Inflicted{
		Fired: func() uint64 { return uint64(len(struck)) },
		Heal: func() (err error) {
			c.Trace("heal: %v", f)
			for _, id := range struck {
				err = errors.Join(err, heal(id))
			}
			return err
		},
	}, nil
}

func (c *Cluster) killOne(id string) error {
	if c.PID(id) == 0 {
		return fmt.Errorf("%s does not run", id)
	}
	return c.Kill(id)
}

// startAgain starts a node, unless somebody else has.
func (c *Cluster) startAgain(id string) error {
	if err := c.Restart(id); err != nil && c.PID(id) == 0 {
		return err
	}
	return nil
}

// holds counts the pauses of each node that overlap.
type holds struct {
	mu sync.Mutex
	of map[string]int // guarded by mu
}

func (c *Cluster) hold(id string) error {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	if err := c.Pause(id); err != nil {
		return err
	}
	c.held.of[id]++
	return nil
}

// letGo resumes a node when the last of its pauses is over. It may have been killed
// meanwhile.
func (c *Cluster) letGo(id string) error {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	if c.held.of[id]--; c.held.of[id] == 0 && c.PID(id) != 0 {
		return c.Resume(id)
	}
	return nil
}

// Mend starts every node that does not run.
func (c *Cluster) Mend() error {
	return c.each(func(m *member) error { return c.startAgain(m.ID) })
}

// Trace writes a line into the log of the configuration.
func (c *Cluster) Trace(format string, args ...any) { c.cfg.Log.Info(fmt.Sprintf(format, args...)) }

// Load makes the load of package warifutest; [Cluster.PutCA] and a
// [warifutest.Policy] of number 0 come before it. done ends what it opened.
func (c *Cluster) Load(seed uint64) (load *warifutest.Load, done func(), err error) {
	custodian, err := c.Custodian()
	if err != nil {
		return nil, nil, err
	}
	closers := []func(){custodian.Close}
	done = func() {
		for _, end := range closers {
			end()
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	cfg := warifutest.LoadConfig{
		Sign: c.Sign, Custodian: custodian, Base: c.desk.policies, Seed: seed, Trace: c.Trace,
	}
	for _, app := range []string{warifutest.AppA, warifutest.AppB} {
		cert, err := c.NewIdentity(app)
		if err != nil {
			return nil, done, err
		}
		cl, err := c.Client(cert)
		if err != nil {
			return nil, done, err
		}
		closers = append(closers, cl.Close)
		if app == warifutest.AppB {
			cfg.B = cl
			continue
		}
		cfg.A, cfg.Direct = cl, warifutest.NewDirect(c.genesis, cert, nil)
		closers = append(closers, cfg.Direct.Close)
	}
	cfg.Key = c.key
	load, err = warifutest.NewLoad(cfg)
	return load, done, err
}

// Race is a race of revokes against unwraps on this cluster; [Cluster.Furnish] comes
// before. It is real time that passes, so that lanes and faults rest for less of it.
func (c *Cluster) Race(seed uint64) warifutest.RaceConfig {
	return warifutest.RaceConfig{
		Subject: c, Sign: c.Sign, Client: c.Client, Key: c.key, Base: c.desk.policies, Seed: seed, Kinds: Kinds(),
		Lanes: map[string]int{
			authority.SubjectPrincipal: 8, authority.SubjectCertificate: 2, authority.SubjectKey: 1, authority.SubjectCA: 1,
		},
		Pause: time.Second, Calm: 2 * time.Second,
	}
}
