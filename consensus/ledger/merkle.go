package ledger

import (
	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// merkle is a persistent binary tree over SHA-256(path): a leaf sits at the
// shallowest depth at which its path's hash is alone, so the root depends on
// the set of (path, value) pairs and not on the order of insertion. A nil
// *merkle is the empty tree. Nodes are never changed once made.
type merkle struct {
	hash        api.Digest
	path        api.Digest // of a leaf: SHA-256 of its path
	left, right *merkle    // both nil in a leaf; at most one nil in an inner node
}

// emptyRoot is the root of the empty tree and of an empty half.
var emptyRoot = api.Digest(tag.Hash(tag.StateEmpty))

func (m *merkle) root() api.Digest {
	if m == nil {
		return emptyRoot
	}
	return m.hash
}

func (m *merkle) isLeaf() bool { return m.left == nil && m.right == nil }

func leafNode(path, value api.Digest) *merkle {
	return &merkle{hash: tag.Hash(tag.StateLeaf, path[:], value[:]), path: path}
}

func innerNode(left, right *merkle) *merkle {
	l, r := left.root(), right.root()
	return &merkle{hash: tag.Hash(tag.StateNode, l[:], r[:]), left: left, right: right}
}

func bit(path api.Digest, depth int) bool { return path[depth/8]>>(7-depth%8)&1 == 1 }

// put returns the tree with value at path; m is unchanged.
func (m *merkle) put(path, value api.Digest, depth int) *merkle {
	switch {
	case m == nil:
		return leafNode(path, value)
	case m.isLeaf() && m.path == path:
		return leafNode(path, value)
	case m.isLeaf():
		return split(m, leafNode(path, value), depth)
	case bit(path, depth):
		return innerNode(m.left, m.right.put(path, value, depth+1))
	default:
		return innerNode(m.left.put(path, value, depth+1), m.right)
	}
}

// remove returns the tree without path; m is unchanged. It is the tree that putting the
// others would have made: a leaf that is left alone moves up.
func (m *merkle) remove(path api.Digest, depth int) *merkle {
	if m == nil || m.isLeaf() {
		if m != nil && m.path == path {
			return nil
		}
		return m
	}
	left, right := m.left, m.right
	if bit(path, depth) {
		right = right.remove(path, depth+1)
	} else {
		left = left.remove(path, depth+1)
	}
	switch {
	case left == nil && right.isLeaf():
		return right
	case right == nil && left.isLeaf():
		return left
	}
	return innerNode(left, right)
}

// split joins two different leaves below depth.
func split(a, b *merkle, depth int) *merkle {
	ra, rb := bit(a.path, depth), bit(b.path, depth)
	switch {
	case ra && rb:
		return innerNode(nil, split(a, b, depth+1))
	case !ra && !rb:
		return innerNode(split(a, b, depth+1), nil)
	case ra:
		return innerNode(b, a)
	default:
		return innerNode(a, b)
	}
}
