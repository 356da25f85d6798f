package ledger_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// stated is what an owner states of a data set, as an entry. The ledger does not read the
// certificate.
func (w *world) stated(owner *authority.Signer, id api.KeyID, who, name string) *authority.Entry {
	w.Helper()
	e, err := authority.SignDataset(rand.Reader, owner, authority.Dataset{Cluster: w.genesis.Cluster, Key: id, Name: name, Owner: "spiffe://hospital.example/" + who, Time: created, Certificate: []byte("DER")})
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) registering(node string, e *authority.Entry) *authority.Entry {
	return w.say(node, authority.KindDataset, authority.DatasetPost{Entry: e.Encode()})
}

// What an owner states of a key stands beside it for good, once, and counts in its life;
// what is destroyed is stated nothing more of.
func TestADatasetStandsWithItsKey(t *testing.T) {
	w, id := born(t)
	owner := newSigner(t)
	e := w.stated(owner, id, "archive", "xrays")
	state := w.s.KeyState(id, created)
	w.accept(w.registering("n2", e))
	list := w.s.Datasets(id)
	if len(list) != 1 || list[0].Node != "n2" || list[0].Index != w.index || list[0].Time != w.s.Time() || w.s.Life(id).Datasets != 1 {
		t.Fatalf("%+v, %+v", list, w.s.Life(id))
	}
	if w.s.KeyState(id, created) != state || w.s.SignedLife(id) != nil {
		t.Error("a statement about a data set moved the key")
	}
	w.refuse(w.registering("n3", e).Encode(), ledger.ErrTaken)
	w.refuse(w.registering("n3", w.stated(owner, id, "archive", "xrays")).Encode(), ledger.ErrDatasetNamed)
	w.accept(w.registering("n3", w.stated(owner, id, "archive", "letters")))
	w.accept(w.registering("n3", w.stated(newSigner(t), id, "ward", "xrays"))) // another owner's
	other := w.stated(owner, api.KeyID{9}, "archive", "xrays")
	w.refuse(w.registering("n2", other).Encode(), ledger.ErrNoKey)
	w.refuse(w.registering("n2", w.stated(owner, w.s.RootKey().ID, "archive", "xrays")).Encode(), ledger.ErrNoKey)
	forged := w.stated(owner, id, "archive", "forged")
	forged.Signatures = other.Signatures
	w.refuse(w.registering("n2", forged).Encode(), authority.ErrDataset)
	w.refuse(w.say("n2", authority.KindDataset, authority.DatasetPost{Entry: []byte("noise")}).Encode(), authority.ErrEntry)
	elsewhere, err := authority.SignDataset(rand.Reader, owner, authority.Dataset{Cluster: api.ClusterID{9}, Key: id, Name: "xrays", Owner: "spiffe://hospital.example/archive", Certificate: []byte("DER")})
	if err != nil {
		t.Fatal(err)
	}
	w.refuse(w.registering("n2", elsewhere).Encode(), authority.ErrDataset)
	w.accept(w.destroy(id, 0, 0, 1, 2))
	w.accept(w.registering("n2", w.stated(owner, id, "archive", "late"))) // while it waits
	w.accept(w.beginEnd(id))
	w.refuse(w.registering("n2", w.stated(owner, id, "archive", "too-late")).Encode(), ledger.ErrDying)
	d, err := ledger.ReadDestroyed(id, w.proofsOf(id, 1))
	if err != nil || len(d.Datasets) != 4 {
		t.Errorf("%d data sets are proven: %v", len(d.Datasets), err)
	}
	if _, err := ledger.ReadDestroyed(id, w.proofsOf(id, 1)[1:]); !errors.Is(err, ledger.ErrProof) { // the first has them
		t.Errorf("the data sets may be left out: %v", err)
	}
	decodedAnywhere(t, w, 2)
}

// One owner has their part, and a key no more than fit into one proof.
func TestAKeyHasSoManyDatasets(t *testing.T) {
	w, id := born(t)
	for o := range ledger.MaxDatasets / ledger.MaxDatasetsOfOwner {
		owner, who := newSigner(t), fmt.Sprintf("owner%d", o)
		for i := range ledger.MaxDatasetsOfOwner {
			w.accept(w.registering("n1", w.stated(owner, id, who, fmt.Sprintf("set-%d", i))))
		}
		w.refuse(w.registering("n1", w.stated(owner, id, who, "more")).Encode(), ledger.ErrManyDatasets)
	}
	w.refuse(w.registering("n1", w.stated(newSigner(t), id, "latecomer", "more")).Encode(), ledger.ErrManyDatasets)
}
