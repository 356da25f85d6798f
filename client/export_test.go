package client

// NeverHedge has the client wait for whoever it asked.
func (c *Client) NeverHedge() { c.hedges.spent = 1 << 40 }
