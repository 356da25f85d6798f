package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The reference tree of Certificate Transparency (RFC 6962): eight leaves, and the
// root after each.
func TestTheReferenceTreeOfRFC6962(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f := &frontier{}
	ran := 0
	for _, v := range []struct{ leaf, root string }{
		{"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
		{"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
		{"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
		{"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
		{"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
		{"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
		{"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
		{"606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
	} {
		f.add(tlog.RecordHash(unhex(v.leaf)))
		if root := f.root(); hex.EncodeToString(root[:]) != v.root {
			t.Errorf("root of %d leaves: %x", ran+1, root)
		}
		ran++
	}
	if t.Logf("RFC 6962: %d roots", ran); ran != 8 {
		t.Errorf("%d roots were compared", ran)
	}
}

// The checkpoint that C2SP's tlog-checkpoint shows. Its signature is Ed25519, which
// no node has, so the text is signed anew.
func TestTheCheckpointOfC2SP(t *testing.T) {
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	const theirs = "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
	v, err := newVerifier("example.com/behind-the-sofa", &testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer{v, testConfig("").Signer})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"ours alone": signed, "beside theirs": append(bytes.Clone(signed), theirs...)} {
		c, err := ParseCheckpoint(b, &testKey.PublicKey)
		if err != nil || c.Size != 20852163 || c.text() != text {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := ParseCheckpoint([]byte(text+"\n"+theirs), &testKey.PublicKey); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("theirs alone: %v", err)
	}
	extended, err := note.Sign(&note.Note{Text: text + "an extension line\n"}, signer{v, testConfig("").Signer})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCheckpoint(extended, &testKey.PublicKey); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("with a line that no node writes: %v", err)
	}
}
