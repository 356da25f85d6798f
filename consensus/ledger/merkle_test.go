package ledger

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// naive rebuilds the root from the whole set, by the definition: an empty half is
// the empty root, a path alone in its half is a leaf.
func naive(set map[api.Digest]api.Digest, depth int) api.Digest {
	switch len(set) {
	case 0:
		return tag.Hash(tag.StateEmpty)
	case 1:
		for path, value := range set {
			return tag.Hash(tag.StateLeaf, path[:], value[:])
		}
	}
	left, right := map[api.Digest]api.Digest{}, map[api.Digest]api.Digest{}
	for path, value := range set {
		if path[depth/8]&(0x80>>(depth%8)) == 0 {
			left[path] = value
		} else {
			right[path] = value
		}
	}
	l, r := naive(left, depth+1), naive(right, depth+1)
	return tag.Hash(tag.StateNode, l[:], r[:])
}

// paths that share long prefixes are where a tree goes wrong.
func drawPath(t *rapid.T) api.Digest {
	var p api.Digest
	copy(p[:], rapid.SliceOfN(rapid.SampledFrom([]byte{0x00, 0x01, 0x80, 0xff}), 0, 3).Draw(t, "prefix"))
	p[31] = rapid.Byte().Draw(t, "last")
	return p
}

func TestTheRootIsThatOfTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := map[api.Digest]api.Digest{}
		var tree *merkle
		for i := range rapid.IntRange(0, 16).Draw(t, "puts") {
			path, value := drawPath(t), api.Digest{byte(i), 1}
			before := tree.root()
			next := tree.put(path, value, 0)
			if tree.root() != before {
				t.Fatal("put has changed the old tree")
			}
			tree, set[path] = next, value
		}
		if got, want := tree.root(), naive(set, 0); got != want {
			t.Fatalf("with %d values the root is %s, want %s", len(set), got, want)
		}
		var again *merkle
		order := slices.SortedFunc(maps.Keys(set), func(a, b api.Digest) int { return bytes.Compare(b[:], a[:]) })
		for _, path := range order {
			again = again.put(path, set[path], 0)
		}
		if again.root() != tree.root() {
			t.Fatal("another order, another root")
		}
		for path := range set {
			before := tree.root()
			rest := maps.Clone(set)
			delete(rest, path)
			if tree.remove(path, 0).root() != naive(rest, 0) {
				t.Fatal("without a value the root is not that of the others")
			}
			if tree.root() != before {
				t.Fatal("remove has changed the old tree")
			}
		}
		if stranger := drawPath(t); set[stranger] == (api.Digest{}) && tree.remove(stranger, 0).root() != tree.root() {
			t.Fatal("removing what is not there has changed the root")
		}
		for path, value := range set {
			value[31] ^= 1
			if tree.put(path, value, 0).root() == tree.root() {
				t.Fatal("the root does not hold every value")
			}
		}
	})
}

// The paths of two values are never one: names hold neither a slash nor a zero
// byte, and no prefix begins another.
func TestPathsCannotCollide(t *testing.T) {
	prefixes := []string{
		pathChange, pathPolicy, pathCA, pathOrder, pathName, pathSession, pathKey, pathAnchor, pathAddress, pathTime,
		pathLock, pathRevoked, pathDenial, pathLifted, pathTrust, pathStone, pathProposal, pathCustody, pathDrill,
	}
	for i, a := range prefixes {
		for j, b := range prefixes {
			if i != j && len(a) <= len(b) && b[:len(a)] == a {
				t.Errorf("%s begins %s", a, b)
			}
		}
	}
	for c := range 256 {
		name := fmt.Sprintf("a%cb", byte(c))
		if b := []byte{'a', byte(c), 'b'}; (c == 0 || c == '/' || c >= 0x80) && (api.CheckName(string(b)) == nil || api.CheckName(name) == nil) {
			t.Errorf("%q is a name", b)
		}
	}
}

// Values of different types, or in different places, have different leaves.
func TestAValueIsBoundToItsPath(t *testing.T) {
	var tree *merkle
	v := &named{Order: api.Digest{1}}
	a := tree.put(tag.Hash(tag.StatePath, []byte("name/a")), v.digest(), 0)
	b := tree.put(tag.Hash(tag.StatePath, []byte("name/b")), v.digest(), 0)
	if a.root() == b.root() || a.root() == emptyRoot {
		t.Error("one root for two places")
	}
}
