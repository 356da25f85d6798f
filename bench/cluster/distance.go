package cluster

import (
	"bytes"
	"net"
	"time"

	"warifu.dev/bench/alarm"
)

// Outside is who is no node, to [Config.Distance]: clients.
const Outside = ""

// Lost is the distance, to [Config.Distance], of those between whom every packet is lost.
const Lost time.Duration = -1

// lineHolds is how many packets one direction of a way holds back; as with a router
// whose queue is full, more are lost.
const lineHolds = 4096

// line returns how packets of one direction are sent: each when it has been held back for
// as long as the caller is away, in the order in which they came.
func (r *Relay) line(caller *net.UDPAddr, send func([]byte)) func([]byte) {
	if r.delay == nil {
		return send
	}
	type packet struct {
		due  time.Time
		data []byte
	}
	held := make(chan packet, lineHolds)
	wait := func(t time.Time) { time.Sleep(time.Until(t)) }
	if r.channel == ToClients {
		wait = alarm.Until // what a client waits for is measured
	}
	r.all.Go(func() {
		for {
			select {
			case p := <-held:
				wait(p.due)
				send(p.data)
			case <-r.done:
				return
			}
		}
	})
	from := caller.String()
	return func(b []byte) {
		away := r.delay(from)
		if away < 0 {
			return
		}
		select {
		case held <- packet{time.Now().Add(away), bytes.Clone(b)}:
		default:
		}
	}
}

// Behind puts a relay in front of an address that is no node's, so far away that a packet
// takes half of roundTrip in each direction. The caller closes it.
func Behind(address string, roundTrip time.Duration) (*Relay, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	r, err := newRelay("", ToClients, nil, func(string) time.Duration { return roundTrip / 2 })
	if err != nil {
		return nil, err
	}
	r.aim(to)
	return r, nil
}

// away is how long a packet takes between a node and the caller of an address.
func (c *Cluster) away(node string) func(caller string) time.Duration {
	if c.cfg.Distance == nil {
		return nil
	}
	who := map[string]string{} // nodes call each other from where they listen for that
	for id, m := range c.nodes {
		who[m.listens[ToPeers]] = id
	}
	return func(caller string) time.Duration {
		if d := c.cfg.Distance(who[caller], node); d != Lost {
			return d / 2
		}
		return Lost
	}
}
