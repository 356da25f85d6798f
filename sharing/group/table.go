package group

import (
	"sync"

	"filippo.io/nistec"
)

const (
	tableBits    = 6                                          // of a scalar, in one window
	tableWindows = (8*ScalarSize + tableBits - 1) / tableBits // the last is 4 bits wide
	tableDigits  = 1<<tableBits - 1                           // a window is not looked up where it is 0
)

// table has the multiples d·2^(6i)·P of one point P, for each window i and each
// digit d above 0: 43 x 63 points, 260 KB. A multiple of P is then 43 additions
// (the fixed-base windowing method: Brickell, Gordon, McCurley, Wilson,
// EUROCRYPT '92). Wider windows were no faster: they leave the cache.
type table [tableWindows][tableDigits]nistec.P256Point

func newTable(p *Point) *table {
	t := new(table)
	base := nistec.NewP256Point().Set(p.p)
	for i := range t {
		t[i][0].Set(base)
		for d := 1; d < tableDigits; d++ {
			t[i][d].Add(&t[i][d-1], base)
		}
		base.Add(&t[i][tableDigits-1], base)
	}
	return t
}

// mul returns s·P in a time that depends on s.
func (t *table) mul(s *Scalar) *Point {
	b := s.Bytes() // big-endian
	sum := nistec.NewP256Point()
	for i := range t {
		bit := i * tableBits
		at := ScalarSize - 1 - bit/8
		v := uint(b[at])
		if at > 0 {
			v |= uint(b[at-1]) << 8
		}
		if d := v >> (bit % 8) & tableDigits; d != 0 {
			sum.Add(sum, &t[i][d-1])
		}
	}
	return &Point{p: sum}
}

var secondTable = sync.OnceValue(func() *table { return newTable(SecondGenerator()) })

// MulSecondPublic returns s·Ḡ, about four times as fast as [Point.Mul], in a time
// that depends on s, which must be public: the response of a proof is.
func MulSecondPublic(s *Scalar) *Point { return secondTable().mul(s) }
