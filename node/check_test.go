package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"warifu.dev/hsm"
)

// hardware is a soft device that says it is a token.
type hardware struct{ hsm.Device }

func (hardware) Kind() string { return hsm.KindPKCS11 }

// goodProbes are of a machine on which nothing is missing.
func goodProbes() probes {
	p := realProbes
	p.free = func(string) (int64, error) { return 100 << 30, nil }
	p.lock = func() (uint64, bool, error) { return 1 << 63, true, nil }
	p.swaps = func() (bool, error) { return true, nil }
	p.receive = func() (int64, error) { return ReceiveBuffer, nil }
	p.clock = func() (bool, error) { return true, nil }
	return p
}

// Each thing that is not as it has to be is found under its own name, alone, and with
// a next command; and nothing is when nothing is wrong.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tt := range []struct {
		sentence string
		spoil    func(t *testing.T, dir string, p *probes)
		open     func(hsm.Device) (hsm.Device, error) // nil: a token
		wrong    []string
		says     string
	}{
		{"nothing is wrong", nil, nil, nil, ""},
		{"no node", func(t *testing.T, dir string, _ *probes) {
			must(t, os.Remove(filepath.Join(dir, configName)))
		}, nil, []string{"configuration"}, "no such file"},
		{"others read a file", func(t *testing.T, dir string, _ *probes) {
			must(t, os.Chmod(filepath.Join(dir, configName), 0o644))
		}, nil, []string{"permissions"}, "0644"},
		{"no genesis", func(t *testing.T, dir string, _ *probes) {
			must(t, os.Remove(filepath.Join(dir, genesisName)))
		}, nil, []string{"genesis"}, "no genesis document yet"},
		{"a wrong PIN", nil, func(hsm.Device) (hsm.Device, error) { return nil, hsm.ErrWrongPIN }, []string{"token"}, "wrong PIN"},
		{"no token", nil, func(hsm.Device) (hsm.Device, error) { return nil, hsm.ErrNoToken }, []string{"token"}, hsm.ErrNoToken.Error()},
		{"a soft one", nil, func(d hsm.Device) (hsm.Device, error) { return d, nil }, []string{"token"}, "protects nothing"},
		{"another token", func(t *testing.T, dir string, _ *probes) {
			replace(t, filepath.Join(dir, configName), "serial = '", "serial = 'x")
		}, nil, []string{"token"}, "another token"},
		{"the identity of another node", func(t *testing.T, dir string, _ *probes) {
			must(t, os.WriteFile(filepath.Join(dir, identityName), []byte("x"), 0o600))
		}, nil, []string{"genesis", "token"}, ""},
		{"a port is taken", func(t *testing.T, dir string, _ *probes) {
			replace(t, filepath.Join(dir, configName), "[hsm]", fmt.Sprintf("listen_client = %q\n[hsm]", busy.LocalAddr()))
		}, nil, []string{"ports"}, "in use"},
		{"little room", func(_ *testing.T, _ string, p *probes) {
			p.free = func(string) (int64, error) { return 10 << 20, nil }
		}, nil, []string{"disk"}, "10.0 MiB left"},
		{"memory that is not locked, and swap", func(_ *testing.T, _ string, p *probes) {
			p.lock = func() (uint64, bool, error) { return 64 << 10, false, nil }
		}, nil, []string{"memlock"}, "64.0 KiB"},
		{"memory that is not locked, without swap", func(_ *testing.T, _ string, p *probes) {
			p.lock = func() (uint64, bool, error) { return 64 << 10, false, nil }
			p.swaps = func() (bool, error) { return false, nil }
		}, nil, nil, ""},
		{"small buffers", func(_ *testing.T, _ string, p *probes) {
			p.receive = func() (int64, error) { return 212992, nil }
		}, nil, []string{"receive buffer"}, "208.0 KiB"},
		{"a clock that nobody keeps", func(_ *testing.T, _ string, p *probes) {
			p.clock = func() (bool, error) { return false, nil }
		}, nil, []string{"clock"}, "synchronised"},
		{"a machine that says nothing of itself", func(_ *testing.T, _ string, p *probes) {
			unknown := errors.New("unknown")
			p.free = func(string) (int64, error) { return 0, unknown }
			p.lock = func() (uint64, bool, error) { return 0, false, unknown }
			p.receive = func() (int64, error) { return 0, unknown }
			p.clock = func() (bool, error) { return false, unknown }
		}, nil, nil, ""},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			dir := newCluster(t).dirs[0]
			p := goodProbes()
			dev := openSoft(t, dir)
			if tt.spoil != nil {
				tt.spoil(t, dir, &p)
			}
			open := func(HSMConfig) (hsm.Device, error) { return hardware{dev}, nil }
			if tt.open != nil {
				open = func(HSMConfig) (hsm.Device, error) { return tt.open(dev) }
			}
			var wrong []string
			var all strings.Builder
			for _, f := range check(dir, open, p) {
				fmt.Fprintf(&all, "%+v\n", f)
				if !f.Fine {
					wrong = append(wrong, f.Subject)
					if !strings.Contains(f.Says, tt.says) || f.Next == "" {
						t.Errorf("%+v, want %q and what is next", f, tt.says)
					}
				}
				if f.Says == "" || f.Fine && f.Next != "" {
					t.Errorf("it says nothing, or what to do about what is fine: %+v", f)
				}
			}
			if !slices.Equal(wrong, tt.wrong) {
				t.Errorf("wrong are %v, want %v:\n%s", wrong, tt.wrong, all.String())
			}
		})
	}
}

// Beside a running daemon neither its token nor its ports are tried.
func TestCheckLeavesARunningNodeAlone(t *testing.T) {
	dir := newCluster(t).dirs[0]
	release, err := lockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	p := goodProbes()
	p.datagram = func(string) error { t.Error("a port was tried"); return nil }
	for _, f := range check(dir, func(HSMConfig) (hsm.Device, error) { t.Error("the token was tried"); return nil, hsm.ErrNoToken }, p) {
		if !f.Fine {
			t.Errorf("%+v", f)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// replace changes the first old in a file.
func replace(t *testing.T, path, old, by string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(b), old) {
		t.Fatalf("%q is not in %s:\n%s", old, path, b)
	}
	must(t, os.WriteFile(path, []byte(strings.Replace(string(b), old, by, 1)), 0o600))
}
