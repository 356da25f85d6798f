package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The examples of RFC 8949, appendix A, all of them. Those that deterministic
// encoding (section 4.2.1) writes are read, and come out as they went in; those it
// does not write are refused, and so is every tag, and "undefined".
func TestTheExamplesOfRFC8949(t *testing.T) {
	const taken = `00 01 0a 17 1818 1819 1864 1903e8 1a000f4240 1b000000e8d4a51000 1bffffffffffffffff 3bffffffffffffffff 20 29
		3863 3903e7 f90000 f98000 f93c00 fb3ff199999999999a f93e00 f97bff fa47c35000 fa7f7fffff fb7e37e43c8800759c f90001
		f90400 f9c400 fbc010666666666666 f97c00 f97e00 f9fc00 f4 f5 f6 f0 f8ff 40 4401020304 60 6161 6449455446 62225c
		62c3bc 63e6b0b4 64f0908591 80 83010203 8301820203820405
		98190102030405060708090a0b0c0d0e0f101112131415161718181819 a0 a201020304 a26161016162820203 826161a161626163
		a56161614161626142616361436164614461656145`
	refused := map[string]string{
		"c249010000000000000000": "a tag", "c349010000000000000000": "a tag",
		"c074323031332d30332d32315432303a30343a30305a": "a tag", "c11a514b67b0": "a tag", "c1fb41d452d9ec200000": "a tag",
		"d74401020304": "a tag", "d818456449455446": "a tag", "d82076687474703a2f2f7777772e6578616d706c652e636f6d": "a tag",
		"fa7f800000": "a long float", "fa7fc00000": "a long float", "faff800000": "a long float",
		"fb7ff0000000000000": "a long float", "fb7ff8000000000000": "a long float", "fbfff0000000000000": "a long float",
		"f818":                       "a short simple value in two bytes, which stood in RFC 7049 and is not well-formed since",
		"f7":                         "undefined, which is null again when it is written",
		"5f42010243030405ff":         "of indefinite length",
		"7f657374726561646d696e67ff": "of indefinite length",
		"9fff":                       "of indefinite length",
		"9f018202039f0405ffff":       "of indefinite length",
		"9f01820203820405ff":         "of indefinite length",
		"83018202039f0405ff":         "of indefinite length",
		"83019f0203ff820405":         "of indefinite length",
		"bf61610161629f0203ffff":     "of indefinite length",
		"826161bf61626163ff":         "of indefinite length",
		"bf6346756ef563416d7421ff":   "of indefinite length",
		"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff": "of indefinite length",
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ran := 0
	for _, s := range strings.Fields(taken) {
		var v any
		if err := Decode(unhex(s), &v); err != nil {
			t.Errorf("%s: %v", s, err)
		} else if !bytes.Equal(Encode(v), unhex(s)) {
			t.Errorf("%s came out as %x", s, Encode(v))
		}
		ran++
	}
	for s, what := range refused {
		var v any
		if err := Decode(unhex(s), &v); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, %s: %v", s, what, err)
		}
		ran++
	}
	if t.Logf("RFC 8949: %d examples, %d taken", ran, ran-len(refused)); ran != 82 {
		t.Errorf("%d examples ran of 82", ran)
	}
}
