package client

import (
	"crypto/x509"
	"errors"

	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

var (
	// ErrSymmetric: the key is symmetric. Nothing is wrapped under it offline; holders are
	// asked, see [Client.Encrypt].
	ErrSymmetric = errors.New("a symmetric key does not wrap offline: its holders encrypt")
	// ErrAsymmetric: the key is not symmetric. It wraps offline, see [Key.Wrap].
	ErrAsymmetric = errors.New("an asymmetric key wraps offline, and its holders do not encrypt")
	// ErrDisagree: for what was to be encrypted, too few holders agree. One of them gives
	// false values; which one, nobody can say before something has opened.
	ErrDisagree = errors.New("the holders do not agree")
	// ErrNoPrincipal: the client's certificate names no principal, whose item it would be.
	ErrNoPrincipal = errors.New("the certificate names no principal")
)

// Symmetric says whether the key is symmetric: see the package comment.
func (k *Key) Symmetric() bool { return k.record.Birth().Symmetric() }

// Copies is how many holders must agree on each part of what a symmetric key encrypts
// with: f+1, from the order. 1 means that nothing checks them, and that a single lying
// holder can make what is encrypted now impossible to open.
func (k *Key) Copies() int { return int(k.record.Order().F) + 1 }

func (k *Key) params() sharing.Params {
	o := k.record.Order()
	return sharing.Params{T: int(o.T), H: int(o.H())}
}

func (k *Key) named() tprf.Key {
	return tprf.Key{Cluster: k.record.Cluster, ID: k.record.Key, Version: k.record.Version}
}

// Principal is who this client is to the nodes, as its certificate says; empty for a
// custodian or a node.
func (c *Client) Principal() string {
	leaf := c.conf.Certificate.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(c.conf.Certificate.Certificate[0]); err != nil {
			return ""
		}
	}
	if len(leaf.URIs) != 1 {
		return ""
	}
	return leaf.URIs[0].String()
}
