package seal

import (
	"bytes"
	"testing"

	"warifu.dev/api"
	"warifu.dev/sharing/group"
)

func TestDecide(t *testing.T) {
	session := api.Digest{1}
	yi := func(v ...uint64) (out [][]byte) {
		for _, x := range v {
			out = append(out, group.BaseMul(group.SmallScalar(x)).Bytes())
		}
		return out
	}
	key := func() *RootKey { return &RootKey{Session: session, Index: 2, YI: yi(5, 7, 9)} }
	share := func() *RootShare { return &RootShare{Session: session, Index: 2, Share: group.SmallScalar(7)} }
	for _, tt := range []struct {
		sentence string
		key      *RootKey
		share    *RootShare
		onDisk   bool
		change   func(*RootKey, *RootShare)
		want     State
	}{
		{sentence: "before the birth a node without a share is unborn", want: Unborn},
		{sentence: "before the activation, or while it catches up, a node with a share is sealed", share: share(), want: Sealed},
		{sentence: "a share on disk whose key the ledger does not show leaves the node sealed", onDisk: true, want: Sealed},
		{sentence: "a share on disk that is not open leaves the node sealed", key: key(), onDisk: true, want: Sealed},
		{sentence: "a node without any share is stranded", key: key(), want: Stranded},
		{sentence: "a share that fits unseals", key: key(), share: share(), want: Unsealed},
		{sentence: "it also does when it is still on disk", key: key(), share: share(), onDisk: true, want: Unsealed},
		{sentence: "a share of another session is stranded", key: key(), share: share(), change: func(_ *RootKey, s *RootShare) { s.Session = api.Digest{2} }, want: Stranded},
		{sentence: "a share of another index is stranded", key: key(), share: share(), change: func(_ *RootKey, s *RootShare) { s.Index = 1 }, want: Stranded},
		{sentence: "a holder that was struck is stranded", key: key(), share: share(), change: func(k *RootKey, _ *RootShare) { k.Index = 0 }, want: Stranded},
		{sentence: "index 0 on both sides does not fit (R1)", key: key(), share: share(), change: func(k *RootKey, s *RootShare) { k.Index, s.Index = 0, 0 }, want: Stranded},
		{sentence: "an index above the list does not fit (R1)", key: key(), share: share(), change: func(k *RootKey, s *RootShare) { k.Index, s.Index = 4, 4 }, want: Stranded},
		{sentence: "a share with another scalar is stranded", key: key(), share: share(), change: func(_ *RootKey, s *RootShare) { s.Share = group.SmallScalar(8) }, want: Stranded},
		{sentence: "a verification key that is no point fits nothing (R4)", key: key(), share: share(), change: func(k *RootKey, _ *RootShare) { k.YI[1] = bytes.Repeat([]byte{4}, 65) }, want: Stranded},
		{sentence: "an empty list fits nothing (R3)", key: key(), share: share(), change: func(k *RootKey, _ *RootShare) { k.YI = nil }, want: Stranded},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.key, tt.share)
			}
			if got := Decide(tt.key, tt.share, tt.onDisk); got != tt.want {
				t.Fatalf("%s, not %s", got, tt.want)
			}
		})
	}
}
