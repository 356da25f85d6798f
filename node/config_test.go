package node

import (
	"errors"
	"strings"
	"testing"
)

func FuzzParseConfig(f *testing.F) {
	good := Config{
		Node: "n1", Region: "jp-east", Client: "a.example:7101", Peer: "a.example:7102", ListenPeer: "[::]:7102",
		HSM: HSMConfig{Kind: "pkcs11", Module: "/usr/lib/p11.so", Token: "warifu", Serial: "1", PINFile: "pin"},
	}
	for _, c := range []Config{good, {Node: "n1", Region: "r", Client: ":1", Peer: ":2", HSM: HSMConfig{Kind: "soft"}, AuditReserve: 1}} {
		b, err := c.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add([]byte(strings.Replace(string(b), "region", "regions", 1)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			if !errors.Is(err, ErrConfig) || c != (Config{}) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		again, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseConfig(again); err != nil || back != c {
			t.Fatalf("%+v is written and read as %+v, %v", c, back, err)
		}
	})
}
