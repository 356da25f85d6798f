package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/internal/ports"
)

// Move gives a node that does not run other addresses, as its operator does: in its
// node.toml. Until [Cluster.MoveBack], nobody answers at those of its roster line.
func (c *Cluster) Move(id string) error {
	m, err := c.still(id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.left) > 0 {
		return fmt.Errorf("%s has moved already", id)
	}
	for _, address := range m.home() {
		socket, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		m.left = append(m.left, socket)
	}
	to := map[Channel]string{}
	for _, channel := range []Channel{ToClients, ToPeers} {
		socket, err := ports.Listen("127.0.0.1")
		if err != nil {
			return err
		}
		m.held = append(m.held, socket)
		to[channel] = socket.LocalAddr().String()
	}
	return c.settle(m, to)
}

// MoveBack gives a node that does not run the addresses of its roster line again.
func (c *Cluster) MoveBack(id string) error {
	m, err := c.still(id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leave()
	return c.settle(m, m.home())
}

// still is a node that does not run, and is behind no relays.
func (c *Cluster) still(id string) (*member, error) {
	m, err := c.member(id)
	if err != nil {
		return nil, err
	}
	if m.running() != nil || m.relays != nil {
		return nil, fmt.Errorf("%s runs, or is behind relays", id)
	}
	return m, nil
}

// home is where a node's roster line says it is.
func (m *member) home() map[Channel]string {
	return map[Channel]string{ToClients: m.line.Claim.Client, ToPeers: m.line.Claim.Peer}
}

// leave makes the addresses that the node has left free; m.mu is held.
func (m *member) leave() {
	for _, socket := range m.left {
		_ = socket.Close()
	}
	m.left = nil
}

// settle writes a node's addresses into its node.toml; m.mu is held.
func (c *Cluster) settle(m *member, to map[Channel]string) error {
	path := filepath.Join(c.Dir(m.ID), "node.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	for channel, now := range to {
		if strings.Count(text, m.listens[channel]) != 1 {
			return fmt.Errorf("%s does not say %s once", path, m.listens[channel])
		}
		text = strings.Replace(text, m.listens[channel], now, 1)
		m.listens[channel] = now
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
