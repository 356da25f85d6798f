package wire

import (
	"bytes"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// A struct that crosses the wire with every request writes and reads itself, as a map of
// numbered fields (RFC 8949, section 3.1), where reflection would cost more than all else
// that is done with it. What it writes are the very bytes that [Encode] makes of its
// tags. What it does not take [Decode] reads as it reads any other struct, and so says
// what is wrong with it. A test of each holds the two ways against each other.

// Writer is a struct that writes itself: AppendWire appends its canonical encoding.
type Writer interface{ AppendWire(b []byte) []byte }

// Reader is a struct that reads itself: ScanWire sets every field, and takes nothing but
// what AppendWire would write.
type Reader interface{ ScanWire(s *Scanner) }

// Scan has r read b, and says whether it took all of it. If not, b may still be what
// [Decode] takes.
func Scan(b []byte, r Reader) bool {
	s := Scanner{rest: b}
	r.ScanWire(&s)
	return !s.bad && len(s.rest) == 0
}

// Major types (RFC 8949, section 3.1) and the two simple values that we use.
const (
	majorUint  = 0 << 5
	majorInt   = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	simpleTrue = 0xf5
)

// Fields writes one struct. Its methods are called in the ascending order of the fields'
// numbers, which are below 256; those that begin with Opt write nothing of what is empty.
type Fields struct {
	Buf  []byte // what is written so far; an element of a list is appended here
	head int    // where the map begins
	n    int
}

// AppendFields begins a struct after b.
func AppendFields(b []byte) Fields { return Fields{Buf: append(b, majorMap), head: len(b)} }

// End returns all that was written.
func (f *Fields) End() []byte {
	if f.n < 24 {
		f.Buf[f.head] = majorMap | byte(f.n)
		return f.Buf
	}
	f.Buf[f.head] = majorMap | 24
	return slices.Insert(f.Buf, f.head+1, byte(f.n))
}

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Key begins a field whose value is appended to Buf.
func (f *Fields) Key(key byte) {
	f.n++
	f.Buf = appendHead(f.Buf, majorUint, uint64(key))
}

// Uint writes a number.
func (f *Fields) Uint(key byte, v uint64) {
	f.Key(key)
	f.Buf = appendHead(f.Buf, majorUint, v)
}

// OptUint writes a number but 0.
func (f *Fields) OptUint(key byte, v uint64) {
	if v != 0 {
		f.Uint(key, v)
	}
}

// Int writes a number that may be negative.
func (f *Fields) Int(key byte, v int64) {
	f.Key(key)
	if v < 0 {
		f.Buf = appendHead(f.Buf, majorInt, uint64(^v))
		return
	}
	f.Buf = appendHead(f.Buf, majorUint, uint64(v))
}

// OptInt is Int but of 0.
func (f *Fields) OptInt(key byte, v int64) {
	if v != 0 {
		f.Int(key, v)
	}
}

// OptTrue writes true.
func (f *Fields) OptTrue(key byte, v bool) {
	if v {
		f.Key(key)
		f.Buf = append(f.Buf, simpleTrue)
	}
}

// Bytes writes a byte string.
func (f *Fields) Bytes(key byte, v []byte) {
	f.Key(key)
	f.Buf = append(appendHead(f.Buf, majorBytes, uint64(len(v))), v...)
}

// OptBytes writes a byte string that is not empty.
func (f *Fields) OptBytes(key byte, v []byte) {
	if len(v) > 0 {
		f.Bytes(key, v)
	}
}

// Text writes a text.
func (f *Fields) Text(key byte, v string) {
	f.Key(key)
	f.Buf = AppendText(f.Buf, v)
}

// OptText writes a text that is not empty.
func (f *Fields) OptText(key byte, v string) {
	if v != "" {
		f.Text(key, v)
	}
}

// AppendText appends a text that is no field, such as one of a list.
func AppendText(b []byte, v string) []byte {
	return append(appendHead(b, majorText, uint64(len(v))), v...)
}

// AppendUint appends a number that is no field.
func AppendUint(b []byte, v uint64) []byte { return appendHead(b, majorUint, v) }

// List begins a list of n elements, which are appended to Buf.
func (f *Fields) List(key byte, n int) {
	f.Key(key)
	f.Buf = appendHead(f.Buf, majorArray, uint64(n))
}

// OptPairs writes pairs of texts, if there are any, in the order of their encodings: the
// shorter keys first (RFC 8949, section 4.2.1).
func (f *Fields) OptPairs(key byte, v map[string]string) {
	if len(v) == 0 {
		return
	}
	var few [16]string
	keys := few[:0]
	for k := range v {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	f.Key(key)
	f.Buf = appendHead(f.Buf, majorMap, uint64(len(keys)))
	for _, k := range keys {
		f.Buf = AppendText(AppendText(f.Buf, k), v[k])
	}
}

func compareKeys(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Scanner reads what [Fields] writes, and nothing else. After the first thing that it
// does not take it reads zeros: one look at the end is enough.
type Scanner struct {
	rest []byte
	bad  bool
}

func (s *Scanner) fail() {
	s.rest, s.bad = nil, true
}

// head reads the head of a major type, in its shortest form.
func (s *Scanner) head(major byte) uint64 {
	if len(s.rest) == 0 || s.rest[0]&0xe0 != major {
		s.fail()
		return 0
	}
	low := s.rest[0] & 0x1f
	if low < 24 {
		s.rest = s.rest[1:]
		return uint64(low)
	}
	size := 1 << (low - 24)
	if low > 27 || len(s.rest) <= size {
		s.fail()
		return 0
	}
	var v uint64
	for _, b := range s.rest[1 : 1+size] {
		v = v<<8 | uint64(b)
	}
	s.rest = s.rest[1+size:]
	if least := bits.Len64(v); v < 24 || size > 1 && least <= 4*size {
		s.fail()
		return 0
	}
	return v
}

// Scanned reads the fields of one struct, in the ascending order of their numbers. A field
// whose method begins with Opt may be missing, and must not be empty.
type Scanned struct {
	s    *Scanner
	left uint64
}

// Fields begins to read a struct.
func (s *Scanner) Fields() Scanned { return Scanned{s, s.head(majorMap)} }

// End says that there are no more fields.
func (f *Scanned) End() {
	if f.left != 0 {
		f.s.fail()
	}
}

// Opt says whether the next field has this number; then its value is next.
func (f *Scanned) Opt(key byte) bool {
	rest := f.s.rest
	size := 1
	if key >= 24 {
		size = 2
	}
	if f.left == 0 || len(rest) < size || rest[size-1] != key || size == 2 && rest[0] != majorUint|24 {
		return false
	}
	f.s.rest = rest[size:]
	f.left--
	return true
}

// Key is Opt of a field that may not be missing.
func (f *Scanned) Key(key byte) {
	if !f.Opt(key) {
		f.s.fail()
	}
}

// Uint reads a number of at most most.
func (f *Scanned) Uint(key byte, most uint64) uint64 {
	f.Key(key)
	return f.s.Uint(most)
}

// Uint reads a number that is no field.
func (s *Scanner) Uint(most uint64) uint64 {
	v := s.head(majorUint)
	if v > most {
		s.fail()
		return 0
	}
	return v
}

// OptUint reads a number of 1 to most, or none.
func (f *Scanned) OptUint(key byte, most uint64) uint64 {
	if !f.Opt(key) {
		return 0
	}
	v := f.s.Uint(most)
	if v == 0 {
		f.s.fail()
	}
	return v
}

// OptTrue reads true, or nothing.
func (f *Scanned) OptTrue(key byte) bool {
	if !f.Opt(key) {
		return false
	}
	if len(f.s.rest) == 0 || f.s.rest[0] != simpleTrue {
		f.s.fail()
		return false
	}
	f.s.rest = f.s.rest[1:]
	return true
}

// string reads the content of a string, which is not copied.
func (s *Scanner) string(major byte) []byte {
	n := s.head(major)
	if n > uint64(len(s.rest)) {
		s.fail()
		return nil
	}
	content := s.rest[:n:n]
	s.rest = s.rest[n:]
	return content
}

// Array reads a byte string of the very length of into.
func (f *Scanned) Array(key byte, into []byte) {
	f.Key(key)
	if b := f.s.string(majorBytes); len(b) != len(into) || copy(into, b) != len(b) {
		f.s.fail()
	}
}

// Bytes reads a byte string, and copies it.
func (f *Scanned) Bytes(key byte) []byte {
	f.Key(key)
	return append([]byte{}, f.s.string(majorBytes)...)
}

// Part is Bytes without the copy: a part of what is decoded.
func (f *Scanned) Part(key byte) []byte {
	f.Key(key)
	return f.s.string(majorBytes)
}

// OptBytes reads a byte string that is not empty, and copies it.
func (f *Scanned) OptBytes(key byte) []byte { return bytes.Clone(f.OptPart(key)) }

// OptPart is OptBytes without the copy: a part of what is decoded.
func (f *Scanned) OptPart(key byte) []byte {
	if !f.Opt(key) {
		return nil
	}
	b := f.s.string(majorBytes)
	if len(b) == 0 {
		f.s.fail()
		return nil
	}
	return b
}

// Text reads a text that is no field.
func (s *Scanner) Text() string {
	b := s.string(majorText)
	if !utf8.Valid(b) {
		s.fail()
		return ""
	}
	return string(b)
}

// Text reads a text.
func (f *Scanned) Text(key byte) string {
	f.Key(key)
	return f.s.Text()
}

// OptText reads a text that is not empty.
func (f *Scanned) OptText(key byte) string {
	if !f.Opt(key) {
		return ""
	}
	v := f.s.Text()
	if v == "" {
		f.s.fail()
	}
	return v
}

// List reads how many elements follow.
func (f *Scanned) List(key byte) int {
	f.Key(key)
	return f.s.count(majorArray, 1, maxElements)
}

// OptList is List of one that is not empty.
func (f *Scanned) OptList(key byte) int {
	if !f.Opt(key) {
		return 0
	}
	n := f.s.count(majorArray, 1, maxElements)
	if n == 0 {
		f.s.fail()
	}
	return n
}

// count reads how many elements follow, of so many bytes at least.
func (s *Scanner) count(major byte, size, most int) int {
	n := s.head(major)
	if n > uint64(min(most, len(s.rest)/size)) {
		s.fail()
		return 0
	}
	return int(n)
}

// OK says whether everything was taken so far. It is asked for each element of a list.
func (s *Scanner) OK() bool { return !s.bad }

// OptPairs reads pairs of texts in their order, or none.
func (f *Scanned) OptPairs(key byte) map[string]string {
	if !f.Opt(key) {
		return nil
	}
	n := f.s.count(majorMap, 2, maxPairs)
	if n == 0 {
		f.s.fail()
		return nil
	}
	pairs := make(map[string]string, min(n, 16)) // what is announced is not believed yet
	var last string
	for i := range n {
		k := f.s.Text()
		if i > 0 && compareKeys(last, k) >= 0 {
			f.s.fail()
		}
		pairs[k] = f.s.Text()
		if !f.s.OK() {
			return nil
		}
		last = k
	}
	return pairs
}
