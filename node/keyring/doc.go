// Package keyring is what a node keeps of its shares on disk: the root share,
// sealed by the token, and the shares of all other keys, encrypted under a key
// that needs both the root share and a salt that only the token opens.
//
// A generation g is an HSM key "root.g" and two files. The token's key seals the
// root share together with s_g, 32 random bytes of this node; the keyring key is
//
//	HKDF-SHA256(root share, salt = s_g, info = tag, cluster, node, g)
//
// so a disk without its token opens nothing, a token without its disk opens
// nothing, and t root shares (which rebuild every root share) open no keyring of
// a node whose salt they do not have.
//
// To erase a share is to make a new generation without it and to destroy the HSM key
// of the old one: backups die with it.
//
//	new HSM key, new salt ──▶ what stays ──▶ root share ──▶ read back ──▶ old HSM key, old files
//	                                         └ from here on a start finds the new one
//
// Until the new generation reads back, the old one is in use, and all that was put into
// it is there after a crash. [Keyring.Erase] is that walk; shares are given out all the
// while.
//
// Every file is written beside its place, synced, renamed and read back before
// it is relied on.
package keyring
