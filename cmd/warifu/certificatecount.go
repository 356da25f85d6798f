package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/auditor"
	"warifu.dev/authority"
	"warifu.dev/certificate"
)

// countReleases counts in an export how often something was opened under a key, and signs
// it with the key that this client calls with. What a damaged log says is not counted: it
// is refused.
func (a *app) countReleases(dir string, f *exportFlags, key api.KeyID) (*certificate.SignedCount, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	folder, given, err := f.open(a, dir)
	if err != nil {
		return nil, err
	}
	found, report, err := folder.Query(given, auditor.Question{Key: key.String(), Decision: auditor.Released})
	if err != nil {
		return nil, err
	}
	if err := judged(dir, report); err != nil {
		return nil, err
	}
	n := certificate.Count{Cluster: h.Genesis.Cluster, Key: key, Opened: uint64(len(found)), Time: now().UnixMilli()}
	for _, released := range found {
		if released.Branch > 0 {
			n.Branches++
		}
	}
	for _, of := range report.Nodes {
		if of.Absent != "" {
			n.Lacking = append(n.Lacking, of.Node)
			continue
		}
		n.Nodes = append(n.Nodes, certificate.NodeCount{Node: of.Node, From: of.From, Records: of.Size})
	}
	slices.SortFunc(n.Nodes, func(a, b certificate.NodeCount) int { return strings.Compare(a.Node, b.Node) })
	cert := a.caller.certificate
	if cert == nil { // the home's
		own, err := loadIdentity(h)
		if err != nil {
			return nil, err
		}
		cert = &own
	}
	held, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fail(exitInput, "the key of this client does not sign")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate of this client: %w", err)
	}
	if n.By = leaf.Subject.CommonName; len(leaf.URIs) == 1 {
		n.By = leaf.URIs[0].String()
	}
	s, err := authority.NewSigner(held)
	if err != nil {
		return nil, fmt.Errorf("the key of this client: %w", err)
	}
	return certificate.SignCount(rand.Reader, s, n)
}
