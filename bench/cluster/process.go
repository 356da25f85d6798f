package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"warifu.dev/hsm/pkcs11/softhsm"
)

// Signals by what they do to a node.
const (
	killed  = syscall.SIGKILL
	asked   = syscall.SIGTERM
	paused  = syscall.SIGSTOP
	resumed = syscall.SIGCONT
)

// stopWait bounds a stop: a node has nothing to do that takes as long.
const stopWait = 20 * time.Second

// process is a running warifud.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and was waited for
}

// parent starts every process from one thread: Linux ends children together with
// the thread that made them (see dieWithParent), so it must live as long as they.
type parent struct {
	work chan func()
	done chan struct{}
}

func newParent() *parent {
	p := &parent{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		for f := range p.work {
			f()
		}
	}()
	return p
}

// do runs f on the parent's thread, one at a time.
func (p *parent) do(f func()) {
	done := make(chan struct{})
	p.work <- func() { f(); close(done) }
	<-done
}

func (p *parent) end() {
	close(p.work)
	<-p.done
}

func (c *Cluster) environment(m *member) []string {
	env := append(os.Environ(), softhsm.ConfVariable+"="+softhsm.Conf(c.TokenDir(m.ID)))
	if c.cfg.Environment != nil {
		env = append(env, c.cfg.Environment(m.ID)...)
	}
	return env
}

// revive says whether a process that ended like this is to be started again.
func (c *Cluster) revive(m *member, state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == killed && c.cfg.Revive != nil && c.cfg.Revive(m.ID)
}

// warifud runs a subcommand that ends by itself, and returns what it printed.
func (c *Cluster) warifud(ctx context.Context, m *member, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.cfg.Bin, "warifud"), args...)
	cmd.Env = c.environment(m)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState != nil && ctx.Err() == nil && c.revive(m, cmd.ProcessState) {
		return c.warifud(ctx, m, args...)
	}
	if err != nil {
		return "", fmt.Errorf("warifud %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

// run starts the node's daemon; it does not wait until it serves.
func (c *Cluster) run(m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		return fmt.Errorf("%s runs already", m.ID)
	}
	m.letGo()
	log, err := os.OpenFile(c.LogPath(m.ID), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.cfg.Bin, "warifud"), "run", c.Dir(m.ID))
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = c.environment(m), log, log, dieWithParent()
	c.parent.do(func() { err = cmd.Start() })
	if err != nil {
		return err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	m.proc, m.end = p, false
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		m.mu.Lock()
		if m.proc == p {
			m.proc = nil
		}
		ended := m.end
		m.mu.Unlock()
		close(p.done)
		if !ended && c.revive(m, cmd.ProcessState) {
			if err := c.run(m); err != nil {
				c.cfg.Log.Error("a node is not started again", "node", m.ID, "error", err)
			}
		}
	}()
	return nil
}

func (c *Cluster) member(id string) (*member, error) {
	m := c.at(id)
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, id)
	}
	return m, nil
}

func (m *member) running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// PID is the process id of a node, or 0 while it does not run.
func (c *Cluster) PID(id string) int {
	m, err := c.member(id)
	if err != nil {
		return 0
	}
	if p := m.running(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// signalAndWait sends a signal that ends the node, and returns when it is gone.
func (c *Cluster) signalAndWait(m *member, s syscall.Signal) error {
	m.mu.Lock()
	m.end = true
	m.mu.Unlock()
	p := m.running()
	if p == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && m.running() != nil {
		return fmt.Errorf("%v to %s: %w", s, m.ID, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopWait):
		return fmt.Errorf("%s does not end on %v", m.ID, s)
	}
}

func (c *Cluster) end(id string, s syscall.Signal) error {
	m, err := c.member(id)
	if err != nil {
		return err
	}
	return c.signalAndWait(m, s)
}

// Stop asks a node to stop, and returns when it has.
func (c *Cluster) Stop(id string) error { return c.end(id, asked) }

// Kill ends a node with SIGKILL: nothing is written that was not written before.
func (c *Cluster) Kill(id string) error { return c.end(id, killed) }

func (c *Cluster) signal(id string, s syscall.Signal) error {
	m, err := c.member(id)
	if err != nil {
		return err
	}
	p := m.running()
	if p == nil {
		return fmt.Errorf("%s does not run", id)
	}
	return p.cmd.Process.Signal(s)
}

// Pause freezes a node (SIGSTOP): its sockets stay, and nobody answers.
func (c *Cluster) Pause(id string) error { return c.signal(id, paused) }

// Resume lets a paused node go on.
func (c *Cluster) Resume(id string) error { return c.signal(id, resumed) }

// Restart starts a node that does not run, without waiting until it serves.
func (c *Cluster) Restart(id string) error {
	m, err := c.member(id)
	if err != nil {
		return err
	}
	return c.run(m)
}
