package client

import "time"

// NeverHedge has the client wait for whoever it asked.
func (c *Client) NeverHedge() { c.hedges.spent = 1 << 40 }

// SetClock has the client read the time of intervals from another clock.
func (c *Client) SetClock(now func() time.Time) { c.branches.clock = now }
