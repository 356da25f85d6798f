package main

import (
	"fmt"

	"warifu.dev/authority"
)

// denialView is what a revoke or a seal denies, in words.
type denialView struct {
	Kind     string   `json:"kind"`
	Name     string   `json:"name,omitempty"`
	Means    string   `json:"means"`
	Warnings []string `json:"warnings,omitempty"`
}

// denialMeans says what each kind of subject takes out of use.
var denialMeans = map[string]string{
	authority.SubjectPrincipal:   "Nothing is released to this principal any more, whatever certificate it shows:",
	authority.SubjectCertificate: "No certificate with this public key is accepted any more, nor any that it signed:",
	authority.SubjectKey:         "Nothing wrapped under this key is released any more, in any of its versions:",
	authority.SubjectGrant:       "Nothing is released by this grant any more:",
	authority.SubjectCA:          "No certificate under the authority of this name is accepted any more:",
	authority.SubjectNode:        "This node releases nothing any more; it still votes and follows the log:",
	authority.SubjectCluster:     "No node of the cluster releases anything any more:",
}

// viewDenial reads what a change of the kind revoke or seal denies. g may be nil.
func viewDenial(c *authority.Change, g *authority.Genesis) (*denialView, error) {
	sub, err := authority.ParseDenial(c)
	if err != nil {
		return nil, err
	}
	v := &denialView{Kind: sub.Kind, Name: sub.Name, Means: denialMeans[sub.Kind]}
	if hasBranchBound(sub.Kind) {
		v.Warnings = append(v.Warnings, longestBranch().String())
	}
	if g != nil {
		if sub.Kind == authority.SubjectNode && g.NodeByID(sub.Name) == nil {
			v.Warnings = append(v.Warnings, sub.Name+" is not on the roster")
		}
		v.Warnings = append(v.Warnings, fmt.Sprintf("it lasts until a lift that %s sign", plural(g.RequiredFor(authority.KindLift), "custodian")))
	}
	return v, nil
}
