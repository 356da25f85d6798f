package keyring

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

func setShare(t *testing.T, fill byte) *tprf.Share {
	t.Helper()
	p := sharing.Params{T: 3, H: 5}
	s, err := tprf.NewShare(p, 2, secret.New(bytes.Repeat([]byte{fill}, len(tprf.Held(p, 2))*tprf.SetKeySize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASymmetricKeysShareIsKeptBesideTheOthersAndErased(t *testing.T) {
	cfg := testConfig(t)
	k := created(t, cfg, testRoot(1))
	list := func(fill byte) []Share {
		return []Share{
			{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11)},
			{Key: api.KeyID{8}, Version: 1, Epoch: 1, Index: 2, Sets: setShare(t, fill)},
		}
	}
	if err := k.PutAll(list(5)); err != nil {
		t.Fatal(err)
	}
	if err := k.PutAll(list(5)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := k.PutAll(list(6)); !errors.Is(err, ErrAnother) {
		t.Errorf("another share of the same key: %v", err)
	}
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := again.Share(api.KeyID{8}, 1, 1)
	if !ok || s.Scalar != nil || s.Index != 2 || !s.Sets.Equal(setShare(t, 5)) {
		t.Fatal("after a restart the share is another")
	}
	if o, _ := again.Share(api.KeyID{9}, 1, 1); o.Sets != nil || !o.Scalar.Equal(group.SmallScalar(11)) {
		t.Error("after a restart the other key's share is another")
	}
	borrowed, back, _ := again.Borrow(api.KeyID{8}, 1, 1)
	gone := make(chan error)
	go func() {
		_, err := again.Erase(context.Background(), nil, func(h Held) bool { return h.Key == api.KeyID{8} })
		gone <- err
	}()
	back()
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if !borrowed.Sets.Equal(setShare(t, 0)) {
		t.Error("an erased share is still in memory")
	}
	if again, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Share(api.KeyID{8}, 1, 1); ok || again.Count() != 1 {
		t.Error("an erased share is still there")
	}
}
