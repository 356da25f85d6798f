package warifutest

import (
	"crypto/rand"
	"path/filepath"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/node"
)

// Init makes a node that is not on the roster, and returns its line for the custodians.
func (c *Cluster) Init(n Node) (authority.Node, error) {
	m := &member{Node: n, cluster: c, place: len(c.members), dir: filepath.Join(c.dir, n.ID)}
	c.members[n.ID] = m
	return m.init(rand.Reader)
}

// Join gives such a node the genesis document, and the chain of changes that brought it.
func (c *Cluster) Join(id string, chain *authority.Succession) error {
	_, err := node.Join(c.members[id].dir, c.birth.genesis.Signed().Encode(), authority.EncodeSuccession(chain.Entries()))
	return err
}

// CustodianWith is [Cluster.Custodian], knowing how the roster has changed.
func (c *Cluster) CustodianWith(known *authority.Succession) (*client.Client, error) {
	cert, err := c.birth.desk.Custodian(0)
	if err != nil {
		return nil, err
	}
	return c.client(client.Config{Genesis: c.birth.genesis, Known: known, Certificate: cert, Region: "jp-east", Dial: c.Open})
}
