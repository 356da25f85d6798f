// Package softhsm finds SoftHSM 2 and makes tokens with it, for tests and the
// demo. SoftHSM is a PKCS#11 module that keeps its keys in files: it has the
// behaviour of a real token and the protection of none. It does not sync those
// files either: after a loss of power a key that was made may be missing, and
// one that was destroyed may be back.
//
// SoftHSM reads its configuration, and with it the list of its tokens, when a
// process initialises the module: with the first pkcs11.Open, or the next one
// after every device on the module was closed. So tokens are made first:
//
//	module, err := softhsm.Module()
//	serial, err := softhsm.NewToken(dir, "node-1", pin, soPIN)
//	os.Setenv(softhsm.ConfVariable, softhsm.Conf(dir))
//	device, err := pkcs11.Open(pkcs11.Config{Module: module, TokenLabel: "node-1", Serial: serial, PIN: pin})
//
// One process sees the tokens of one directory at a time.
package softhsm
