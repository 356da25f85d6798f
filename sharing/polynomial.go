package sharing

import (
	"fmt"
	"io"
	"log/slog"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/group"
)

// Polynomial is a secret polynomial of degree t-1; its constant term is what is
// shared (Shamir, 1979). It never prints.
type Polynomial struct {
	coefficients []*group.Scalar // the constant term first
}

func checkThreshold(t int) error {
	if t < MinThreshold || t > MaxHolders {
		return fmt.Errorf("a polynomial for threshold %d: %w", t, ErrThreshold)
	}
	return nil
}

// NewPolynomial draws t coefficients from rand, all nonzero.
func NewPolynomial(rand io.Reader, t int) (*Polynomial, error) {
	if err := checkThreshold(t); err != nil {
		return nil, err
	}
	constant, err := group.RandomScalar(rand)
	if err != nil {
		return nil, fmt.Errorf("draw a polynomial: %w", err)
	}
	defer constant.Wipe()
	return NewPolynomialFor(rand, t, constant)
}

// NewPolynomialFor shares a given constant term, as a refresh, a reshare or an
// import does; the other t-1 coefficients are drawn from rand. The constant is
// copied, and must not be zero.
func NewPolynomialFor(rand io.Reader, t int, constant *group.Scalar) (*Polynomial, error) {
	if err := checkThreshold(t); err != nil {
		return nil, err
	}
	if constant.IsZero() {
		return nil, fmt.Errorf("share the constant zero: %w", group.ErrScalar)
	}
	p := &Polynomial{coefficients: []*group.Scalar{constant.Add(group.SmallScalar(0))}}
	for len(p.coefficients) < t {
		c, err := group.RandomScalar(rand)
		if err != nil {
			p.Wipe()
			return nil, fmt.Errorf("draw a polynomial: %w", err)
		}
		p.coefficients = append(p.coefficients, c)
	}
	return p, nil
}

// Threshold returns t.
func (p *Polynomial) Threshold() int { return len(p.coefficients) }

// Constant returns the constant term, a copy that the caller wipes.
func (p *Polynomial) Constant() *group.Scalar { return p.coefficients[0].Add(group.SmallScalar(0)) }

// Eval returns the share of holder i, by Horner's rule in constant time. An index
// outside 1..16 is a bug of the caller, since zero would give the secret, and panics.
func (p *Polynomial) Eval(i Index) *group.Scalar {
	if err := i.Validate(); err != nil {
		panic("sharing: evaluate a polynomial: " + err.Error())
	}
	x := group.SmallScalar(uint64(i))
	sum := group.SmallScalar(0)
	for k := len(p.coefficients) - 1; k >= 0; k-- {
		product := sum.Mul(x)
		sum.Wipe()
		sum = product.Add(p.coefficients[k])
		product.Wipe()
	}
	return sum
}

// Commit returns the Feldman commitments, one per coefficient.
func (p *Polynomial) Commit() Commitments {
	c := make(Commitments, len(p.coefficients))
	for k, a := range p.coefficients {
		c[k] = group.BaseMul(a)
	}
	return c
}

// Bytes returns the t coefficients of 32 bytes each, for sealed storage.
func (p *Polynomial) Bytes() secret.Bytes {
	b := make([]byte, 0, len(p.coefficients)*group.ScalarSize)
	for _, a := range p.coefficients {
		encoded := a.Bytes()
		b = append(b, encoded...)
		clear(encoded)
	}
	return secret.New(b)
}

// DecodePolynomial reads what [Polynomial.Bytes] wrote, of exactly t coefficients.
func DecodePolynomial(b secret.Bytes, t int) (*Polynomial, error) {
	if err := checkThreshold(t); err != nil {
		return nil, err
	}
	if b.Len() != t*group.ScalarSize {
		return nil, fmt.Errorf("decode a polynomial for threshold %d from %d bytes: %w", t, b.Len(), group.ErrScalar)
	}
	p := &Polynomial{}
	for k := range t {
		a, err := group.DecodeNonZeroScalar(b.Reveal()[k*group.ScalarSize : (k+1)*group.ScalarSize])
		if err != nil {
			p.Wipe()
			return nil, fmt.Errorf("decode a polynomial: %w", err)
		}
		p.coefficients = append(p.coefficients, a)
	}
	return p, nil
}

// Wipe makes all coefficients zero; p must not be used afterwards.
func (p *Polynomial) Wipe() {
	for _, a := range p.coefficients {
		a.Wipe()
	}
}

// String implements [fmt.Stringer].
func (p Polynomial) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (p Polynomial) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (p Polynomial) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// LogValue implements [slog.LogValuer].
func (p Polynomial) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalCBOR always fails: a polynomial is encoded by [Polynomial.Bytes], on purpose.
func (p Polynomial) MarshalCBOR() ([]byte, error) { return nil, secret.ErrNotEncodable }
