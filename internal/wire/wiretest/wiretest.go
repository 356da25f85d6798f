// Package wiretest holds structs that write and read themselves against their tags. It is
// for tests.
package wiretest

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"warifu.dev/internal/wire"
)

// turns is how many values of each struct are tried: each field is empty in some of them,
// and at each length of a head in others.
const turns = 500

// Same tries random values of each struct, to which the arguments point: what it writes is
// what its tags say, and what is written it reads as its tags say, and all by itself.
func Same(t *testing.T, of ...wire.Writer) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, w := range of {
		read := 0
		for range turns {
			v := reflect.New(reflect.TypeOf(w).Elem())
			fill(rnd, v.Elem(), 0)
			tagged := wire.Encode(plain(v).Interface())
			written := wire.Encode(v.Interface())
			if !bytes.Equal(written, tagged) {
				t.Fatalf("%T writes itself as\n%x, its tags say\n%x", w, written, tagged)
			}
			if r, ok := reflect.New(v.Type().Elem()).Interface().(wire.Reader); ok {
				if !wire.Scan(tagged, r) {
					t.Fatalf("%T does not read %x", w, tagged)
				}
				Agree(t, tagged, r.(wire.Writer))
				read++
			}
		}
		t.Logf("%T: %d values written, %d read", w, turns, read)
	}
}

// Agree reads b into each struct, to which the arguments point, and once more by its tags:
// both take it or none does, and they read the same.
func Agree(t *testing.T, b []byte, of ...wire.Writer) {
	t.Helper()
	for _, w := range of {
		own, tagged := reflect.New(reflect.TypeOf(w).Elem()), reflect.New(reflect.TypeOf(w).Elem())
		errTagged := wire.Decode(b, plain(tagged).Interface())
		if r, ok := own.Interface().(wire.Reader); ok && wire.Scan(b, r) {
			if errTagged != nil {
				t.Fatalf("%T reads %x, which is refused by its tags: %v", w, b, errTagged)
			}
			if !reflect.DeepEqual(own.Interface(), tagged.Interface()) {
				t.Fatalf("%T reads\n%#v, by its tags\n%#v", w, own.Elem(), tagged.Elem())
			}
			if again := wire.Encode(own.Interface()); !bytes.Equal(again, b) {
				t.Fatalf("%T reads %x and writes %x", w, b, again)
			}
		}
		either := reflect.New(reflect.TypeOf(w).Elem())
		err := wire.Decode(b, either.Interface())
		if (err == nil) != (errTagged == nil) || err == nil && !reflect.DeepEqual(either.Interface(), tagged.Interface()) {
			t.Fatalf("%T reads %x as %#v (%v), by its tags as %#v (%v)", w, b, either.Elem(), err, tagged.Elem(), errTagged)
		}
	}
}

// plain is a pointer to the same struct, as a type without methods.
func plain(v reflect.Value) reflect.Value {
	of := v.Type().Elem()
	var fields []reflect.StructField
	for i := range of.NumField() {
		fields = append(fields, of.Field(i))
	}
	return v.Convert(reflect.PointerTo(reflect.StructOf(fields)))
}

// edges are lengths and numbers at which the head of an encoding grows.
var edges = []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 1}

// fill sets a value to a random one.
func fill(rnd *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(edges[rnd.IntN(len(edges))] & (1<<v.Type().Bits() - 1))
	case reflect.Int64:
		v.SetInt(int64(edges[rnd.IntN(len(edges))]) >> rnd.IntN(2))
	case reflect.String:
		v.SetString(text(rnd))
	case reflect.Pointer:
		if rnd.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rnd, v.Elem(), depth+1)
		}
	case reflect.Array:
		if rnd.IntN(4) > 0 {
			for i := range v.Len() {
				v.Index(i).SetUint(rnd.Uint64() & 0xff)
			}
		}
	case reflect.Slice:
		n := rnd.IntN(4)
		if v.Type().Elem().Kind() == reflect.Uint8 || rnd.IntN(20) == 0 && depth == 0 {
			n = int(edges[rnd.IntN(6)])
		}
		if n == 0 && rnd.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rnd, v.Index(i), depth+1)
		}
	case reflect.Map:
		n := rnd.IntN(30)
		if n == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			v.SetMapIndex(reflect.ValueOf(text(rnd)).Convert(v.Type().Key()), reflect.ValueOf(text(rnd)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i), depth)
		}
	default:
		panic("wiretest: no random " + v.Type().String())
	}
}

func text(rnd *rand.Rand) string {
	n := rnd.IntN(4)
	if rnd.IntN(4) == 0 {
		n = int(edges[rnd.IntN(6)])
	}
	b := make([]rune, n)
	for i := range b {
		b[i] = []rune("ab€é\x00z")[rnd.IntN(6)]
	}
	return string(b)
}
