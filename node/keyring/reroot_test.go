package keyring

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
	"warifu.dev/sharing/group"
)

// A share that was put into the keyring becomes the root share of the next generation.
// The one before, and the generation that it opened, are gone; the rest stays.
func TestAShareBecomesTheRootShare(t *testing.T) {
	cfg := testConfig(t)
	k := two(t, cfg)
	old := k.Root().Share
	waiting := testShare(5, 77)
	waiting.Epoch, waiting.Session, waiting.Index = 2, api.Digest{5}, 3
	if err := k.Put(waiting); err != nil {
		t.Fatal(err)
	}
	root := func(h Held) bool { return h.Key == api.KeyID{5} && h.Epoch == 2 }
	what, err := k.Reroot(t.Context(), nil, root)
	if err != nil || what.Generation != 1 {
		t.Fatalf("%+v, %v", what, err)
	}
	if !old.IsZero() {
		t.Error("the root share before stays in memory")
	}
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*Keyring{"in use": k, "after a restart": again} {
		r := k.Root()
		if r.Session != (api.Digest{5}) || r.Epoch != 2 || r.Index != 3 || !r.Share.Equal(group.SmallScalar(77)) {
			t.Errorf("%s: the root share is of %+v", name, r.Session)
		}
		if k.Holds(root) || !held(k, 9) || !held(k, 10) || k.Generation() != 2 {
			t.Errorf("%s: another keyring", name)
		}
	}
	k.UseRoot(func(r Root) {
		if !r.Share.Equal(group.SmallScalar(77)) {
			t.Error("another root share is shown")
		}
	})
	if err := k.Put(testShare(7, 14)); err != nil {
		t.Fatal(err)
	}
}

// A root share that cannot be written leaves the one before, here and on disk.
func TestARootShareThatIsNotWrittenLeavesTheOneBefore(t *testing.T) {
	cfg := testConfig(t)
	broken := errors.New("the disk is full")
	full := false
	cfg.Disk = func(disk.Op, string) error {
		if full {
			return broken
		}
		return nil
	}
	k := two(t, cfg)
	if err := k.Put(testShare(5, 77)); err != nil {
		t.Fatal(err)
	}
	full = true
	if _, err := k.Reroot(t.Context(), nil, func(h Held) bool { return h.Key == api.KeyID{5} }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	full = false
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*Keyring{"in use": k, "after a restart": again} {
		if r := k.Root(); !r.Share.Equal(group.SmallScalar(7)) || !held(k, 5) || !held(k, 9) {
			t.Errorf("%s: another root share, of %v", name, r.Session)
		}
	}
}
