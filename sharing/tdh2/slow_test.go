package tdh2

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/big"

	"warifu.dev/sharing/group"
	"warifu.dev/sharing/internal/slow"
)

// The whole of TDH2 a second time, from the text and not from the code: affine
// points, math/big, rationals, HKDF and the list encoding by hand, no checks.
// slowKey knows everything, the secret too.
type slowKey struct {
	cluster, keyID [32]byte
	version        uint32
	t, h           int
	coefficients   []*big.Int
	delta          *big.Int
}

func slowList(tag string, parts ...[]byte) []byte {
	parts = append([][]byte{[]byte(tag)}, parts...)
	b := binary.BigEndian.AppendUint64(nil, uint64(len(parts)))
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

func slowHash(tag string, parts ...[]byte) []byte {
	sum := sha256.Sum256(slowList(tag, parts...))
	return sum[:]
}

func slowHMAC(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

var slowGBar = slow.Decode(group.SecondGenerator().Bytes())

// newSlowKey computes Δ over all t-subsets as rationals.
func newSlowKey(cluster, keyID [32]byte, version uint32, t, h int, coefficients []*big.Int) *slowKey {
	k := &slowKey{cluster: cluster, keyID: keyID, version: version, t: t, h: h, coefficients: coefficients, delta: big.NewInt(1)}
	for subset := range 1 << h {
		var xs []int
		for i := range h {
			if subset>>i&1 == 1 {
				xs = append(xs, i+1)
			}
		}
		if len(xs) != t {
			continue
		}
		for _, l := range slow.Lagrange(xs) {
			d := new(big.Int).GCD(nil, nil, k.delta, l.Denom())
			k.delta = new(big.Int).Mul(k.delta, new(big.Int).Div(l.Denom(), d))
		}
	}
	return k
}

func (k *slowKey) y() slow.Point        { return slow.G.Mul(k.coefficients[0]) }
func (k *slowKey) w() slow.Point        { return k.y().Mul(k.delta) }
func (k *slowKey) share(i int) *big.Int { return slow.Eval(k.coefficients, i) }
func (k *slowKey) versionBytes() []byte { return binary.BigEndian.AppendUint32(nil, k.version) }
func (k *slowKey) label(ctx []byte) []byte {
	return slowHash("warifu/v1/envelope/label", []byte{1}, []byte{1}, k.cluster[:], k.keyID[:], k.versionBytes(), ctx)
}

func (k *slowKey) kek(point slow.Point, label, u []byte) (kek, commitment []byte) {
	info := slowList("warifu/v1/envelope/kek", []byte{1}, label, u, k.w().Bytes())
	prk := slowHMAC(make([]byte, 32), point.Bytes())
	kek = slowHMAC(prk, append(bytes.Clone(info), 1))
	commitment = slowHMAC(prk, append(append(bytes.Clone(kek), info...), 2))
	return kek, commitment
}

func (k *slowKey) challenge(ctx, u, uBar []byte, w, wBar slow.Point, rest []byte) *big.Int {
	e := slowHash("warifu/v1/envelope/challenge", []byte{1}, []byte{1}, k.cluster[:], k.keyID[:], k.versionBytes(),
		k.w().Bytes(), ctx, u, uBar, w.Bytes(), wBar.Bytes(), rest)
	return new(big.Int).Mod(new(big.Int).SetBytes(e), slow.Q)
}

func slowGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// wrap makes an envelope from given r, s and nonce. spoil may change commitment
// and wrapped DEK before the proof is made, as only a dishonest wrapper can.
func (k *slowKey) wrap(ctx, dek []byte, r, s *big.Int, nonce []byte, spoil func(commitment, wrapped []byte)) []byte {
	u, uBar := slow.G.Mul(r).Bytes(), slowGBar.Mul(r).Bytes()
	label := k.label(ctx)
	kek, commitment := k.kek(k.w().Mul(r), label, u)
	wrapped := slowGCM(kek).Seal(bytes.Clone(nonce), nonce, dek, slowList("warifu/v1/envelope/aad", label))
	if spoil != nil {
		spoil(commitment, wrapped)
	}
	rest := append(bytes.Clone(commitment), wrapped...)
	e := k.challenge(ctx, u, uBar, slow.G.Mul(s), slowGBar.Mul(s), rest)
	f := new(big.Int).Mul(e, r)
	f.Add(f, s).Mod(f, slow.Q)
	out := append([]byte{1, 1}, k.cluster[:]...)
	out = append(out, k.keyID[:]...)
	out = append(out, k.versionBytes()...)
	out = append(append(out, u...), uBar...)
	out = append(out, rest...)
	out = append(out, e.FillBytes(make([]byte, 32))...)
	return append(out, f.FillBytes(make([]byte, 32))...)
}

func (k *slowKey) verify(env, ctx []byte) bool {
	u, uBar, rest := env[70:135], env[135:200], env[200:len(env)-64]
	e := new(big.Int).SetBytes(env[len(env)-64 : len(env)-32])
	f := new(big.Int).SetBytes(env[len(env)-32:])
	w := slow.G.Mul(f).Add(slow.Decode(u).Mul(e).Neg())
	wBar := slowGBar.Mul(f).Add(slow.Decode(uBar).Mul(e).Neg())
	return k.challenge(ctx, u, uBar, w, wBar, rest).Cmp(e) == 0
}

func (k *slowKey) partial(i int, env []byte) slow.Point {
	return slow.Decode(env[70:135]).Mul(k.share(i))
}

// open combines with full Lagrange coefficients times Δ, modulo q.
func (k *slowKey) open(env, ctx []byte, partials map[int]slow.Point) ([]byte, bool) {
	var xs []int
	for i := range partials {
		xs = append(xs, i)
	}
	point := slow.Point{}
	for n, l := range slow.Lagrange(xs) {
		c := slow.ModQ(l)
		point = point.Add(partials[xs[n]].Mul(c.Mul(c, k.delta)))
	}
	label := k.label(ctx)
	kek, commitment := k.kek(point, label, env[70:135])
	if !bytes.Equal(commitment, env[200:232]) {
		return nil, false
	}
	wrapped := env[232 : len(env)-64]
	dek, err := slowGCM(kek).Open(nil, wrapped[:12], wrapped[12:], slowList("warifu/v1/envelope/aad", label))
	return dek, err == nil
}
