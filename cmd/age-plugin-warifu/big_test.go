//go:build big

package main_test

import (
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
)

// The programs stream: for 1 GiB they take no more memory than for 1 MiB.
func TestOneGiBInConstantMemory(t *testing.T) {
	p := newPlace(t)
	for name, chain := range map[string][2][]string{
		"warifu to age": {{"warifu", "encrypt", "--key", photos}, {"age", "-d", "-j", "warifu"}},
		"age to warifu": {{"age", "-r", p.recipient}, {"warifu", "decrypt"}},
	} {
		t.Run(name, func(t *testing.T) {
			small := p.stream(t, chain, 1<<20)
			large := p.stream(t, chain, 1<<30)
			for i, cmd := range chain {
				t.Logf("%s: %d KiB for 1 MiB, %d KiB for 1 GiB", cmd[0], small[i], large[i])
				const noise = 64 << 10 // KiB, a sixteenth of the file: garbage that a busy machine has not collected yet
				if large[i] > small[i]+noise {
					t.Errorf("the memory of %s grows with the file", cmd[0])
				}
			}
		})
	}
}

// stream pipes size random bytes through both commands, compares what comes out,
// and returns the largest memory of each, in KiB.
func (p *place) stream(t *testing.T, chain [2][]string, size int64) (peaks [2]int64) {
	t.Helper()
	seals, opens := p.command(chain[0]...), p.command(chain[1]...)
	in, out := &hashed{Hash: sha256.New()}, &hashed{Hash: sha256.New()}
	seals.Stdin = io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), in)
	pipe, err := seals.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	opens.Stdin, opens.Stdout = pipe, out
	for _, cmd := range []*exec.Cmd{seals, opens} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	// The pipe is closed when the first is waited for: the last one goes first.
	for i, cmd := range []*exec.Cmd{opens, seals} {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		peaks[1-i] = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	}
	if in.n != size || out.n != size || string(in.Sum(nil)) != string(out.Sum(nil)) {
		t.Fatalf("%d bytes went in and %d came out, or others", in.n, out.n)
	}
	return peaks
}

// hashed is a hash that counts.
type hashed struct {
	hash.Hash
	n int64
}

func (h *hashed) Write(b []byte) (int, error) {
	h.n += int64(len(b))
	return h.Hash.Write(b)
}
