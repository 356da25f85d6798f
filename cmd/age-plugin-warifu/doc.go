// Command age-plugin-warifu lets age read and write files for keys of a warifu
// cluster, by age's plugin protocol (C2SP, age-plugin.md). It has to be on PATH.
//
//	age -r $(warifu key show photos --recipient) -o beach.jpg.age beach.jpg
//	age -d -j warifu -o beach.jpg beach.jpg.age
//
// A recipient, age1warifu1..., names a key of a cluster (see
// [warifu.dev/client/agefile.Reference]) and, if `--context` gave one, the context
// to wrap under. The public key comes from the record kept in the home directory,
// or else from the cluster; a record is believed only by the pinned genesis.
//
// The identity is always the same and no secret: age-plugin-warifu --identity
// prints it, and age -j warifu needs not even that. Who calls is the application
// whose certificate is in the home directory, $WARIFU_HOME; $WARIFU_REASON is the
// stated reason. Nodes decide as they do for warifu decrypt.
package main
