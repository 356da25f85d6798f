package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/url"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
)

const archive = "spiffe://hospital.example/archive"

// ownerOf is a caller with a certificate of this name, and its key.
func ownerOf(t *testing.T, name string) (*session, *authority.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{u}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s, err := authority.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return &session{principal: name, leaf: leaf}, s
}

// A node carries what its caller states of a data set, and nothing that another does: it
// alone knows by whose certificate it came.
func TestADatasetIsRegisteredByItsOwnerAlone(t *testing.T) {
	a := newApproved(t)
	owner, key := ownerOf(t, archive)
	other, otherKey := ownerOf(t, "spiffe://hospital.example/other")
	namesake, _ := ownerOf(t, archive)
	states := func(name, who string, by *authority.Signer, cert []byte) *api.SubmitRequest {
		t.Helper()
		e, err := authority.SignDataset(rand.Reader, by, authority.Dataset{Cluster: a.Genesis.Cluster, Key: a.key, Name: name, Owner: who, Certificate: cert})
		if err != nil {
			t.Fatal(err)
		}
		return &api.SubmitRequest{Entry: e.Encode()}
	}
	good := states("xrays", archive, key, owner.leaf.Raw)
	for _, tt := range []struct {
		sentence string
		caller   *session
		q        *api.SubmitRequest
	}{
		{"another hands it in", other, good},
		{"another certificate of the same name", namesake, good},
		{"in another's name", other, states("xrays", archive, otherKey, other.leaf.Raw)},
		{"with another's certificate", other, states("xrays", archive, otherKey, owner.leaf.Raw)},
		{"a custodian hands it in", &session{custodian: "custodian1", leaf: owner.leaf}, good},
		{"a caller whose chain the node could not verify", &session{principal: archive, leaf: owner.leaf, unproven: true}, good},
	} {
		if _, err := a.submitChange(t.Context(), tt.caller, tt.q); codeOf(err) != api.CodeRefusedEntry || a.submitted != 0 {
			t.Errorf("%s: %v", tt.sentence, err)
		}
	}
	taken, err := a.submitChange(t.Context(), owner, good)
	if err != nil || !taken.Taken || a.submitted != 1 {
		t.Fatalf("%+v, %v", taken, err)
	}
	again, err := a.submitChange(t.Context(), owner, good)
	if err != nil || again.Taken || again.ID != taken.ID || again.Index != taken.Index || a.submitted != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	another, err := authority.SignDataset(rand.Reader, key, authority.Dataset{Cluster: a.Genesis.Cluster, Key: a.key, Name: "xrays", Owner: archive, Note: "others", Certificate: owner.leaf.Raw})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.submitChange(t.Context(), owner, &api.SubmitRequest{Entry: another.Encode()}); codeOf(err) != api.CodeRefusedEntry || a.submitted != 1 {
		t.Errorf("another of the same name: %v", err)
	}
	for _, q := range []*api.DatasetsRequest{{Name: "demo"}, {ID: a.key}} {
		list, err := a.datasets(q)
		if err != nil || list.Key != a.key || len(list.Datasets) != 1 || list.Datasets[0].Node != "n1" {
			t.Errorf("%+v: %+v, %v", q, list, err)
		}
	}
	if _, err := a.datasets(&api.DatasetsRequest{Name: "none"}); codeOf(err) != api.CodeUnknownKey {
		t.Errorf("of no key: %v", err)
	}
	a.fresh = freshness{}
	if _, err := a.submitChange(t.Context(), owner, states("late", archive, key, owner.leaf.Raw)); codeOf(err) != api.CodeStale {
		t.Errorf("a node that may not know of a revoke: %v", err)
	}
}
