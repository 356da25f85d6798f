package node

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/node/machine"
)

// Finding is one thing that [Check] looked at.
type Finding struct {
	Subject string `json:"subject"`
	Fine    bool   `json:"fine"`
	Says    string `json:"says"`
	Next    string `json:"next,omitempty"` // what to do about it, when it is not fine
}

// ReceiveBuffer is what a busy node's sockets want of net.core.rmem_max, in bytes:
// quic-go asks for 7 MiB and a little (its wiki, "UDP Buffer Sizes").
const ReceiveBuffer = 7_500_000

// roomWanted is what should be left for the audit beside its reserve, in bytes: sixteen
// segments, weeks of a quiet node.
const roomWanted = 16 * audit.DefaultSegment

// probes are what [Check] asks the machine.
type probes struct {
	free     func(path string) (int64, error)
	lock     func() (bytes uint64, all bool, err error)
	swaps    func() (bool, error)
	receive  func() (int64, error)
	clock    func() (bool, error)
	datagram func(address string) error // a socket can be opened there
	stream   func(address string) error
}

var realProbes = probes{
	free: machine.Free, lock: machine.LockLimit, swaps: machine.Swaps, receive: machine.MaxReceiveBuffer, clock: machine.ClockKept,
	datagram: func(address string) error {
		s, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		return s.Close()
	},
	stream: func(address string) error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		return l.Close()
	},
}

// Check looks, before a start or beside a running daemon, at what the node in dir needs:
// its files, its token, its ports and its machine. It changes nothing, and unseals
// nothing but the identity key, which it forgets. open opens the token, which costs one
// try of the PIN; it is not called while a daemon runs here.
func Check(dir string, open func(HSMConfig) (hsm.Device, error)) []Finding {
	return check(dir, open, realProbes)
}

func check(dir string, open func(HSMConfig) (hsm.Device, error), p probes) (out []Finding) {
	found := func(subject string, err error, says, next string) {
		f := Finding{Subject: subject, Fine: err == nil, Says: says}
		if err != nil {
			f.Says, f.Next = err.Error(), next
		}
		out = append(out, f)
	}
	cfg, err := LoadConfig(dir)
	found("configuration", err, fmt.Sprintf("%s in %s", cfg.Node, cfg.Region), "mend "+filepath.Join(dir, configName)+", or make the node: warifud init --help")
	if err != nil {
		return append(out, checkMachine(p)...)
	}
	found("permissions", checkModes(dir), "nobody else reads or writes "+dir, "chmod -R go= "+dir)
	g, err := loadGenesis(dir)
	if err == nil {
		var known *authority.Succession
		if known, err = readChain(dir, g); err == nil {
			err = checkRoster(dir, known.Genesis)
		}
	}
	says := ""
	if err == nil {
		says = fmt.Sprintf("of the cluster %s, with the hash %s", g.Cluster, g.Hash())
	}
	found("genesis", err, says, "warifud join "+dir+" GENESIS")
	release, err := lockDirectory(dir)
	if errors.Is(err, ErrInUse) {
		found("token", nil, "not tried: a daemon runs here and has it", "")
		found("ports", nil, "not tried: a daemon runs here and has them", "")
	} else {
		if err == nil {
			defer func() { _ = release() }() // nothing was written
		}
		out = append(out, checkToken(dir, cfg, open), checkPorts(cfg, p))
	}
	out = append(out, checkRoom(dir, cfg, p))
	return append(out, checkMachine(p)...)
}

// errSoft is what there is to say of a device that is none.
var errSoft = errors.New("the HSM is soft: it protects nothing")

func checkToken(dir string, cfg Config, open func(HSMConfig) (hsm.Device, error)) Finding {
	f := Finding{Subject: "token"}
	fail := func(err error, next string) Finding {
		f.Says, f.Next = err.Error(), next
		return f
	}
	dev, err := open(cfg.HSM)
	if err != nil {
		switch {
		case errors.Is(err, hsm.ErrWrongPIN), errors.Is(err, hsm.ErrPINLocked):
			return fail(err, "put the right PIN into "+cfg.HSM.PINFile+" before anything tries again: the token counts")
		case errors.Is(err, ErrConfig):
			return fail(err, "see [hsm] in "+filepath.Join(dir, configName))
		case errors.Is(err, ErrLooseMode):
			return fail(err, "chmod go= the PIN's file")
		}
		return fail(err, "pkcs11-tool --module "+cfg.HSM.Module+" --list-slots")
	}
	defer func() { _ = dev.Close() }() // nothing was changed in it
	switch {
	case cfg.HSM.Serial != dev.Serial():
		return fail(fmt.Errorf("%w: serial %s, configured is %s", ErrWrongToken, dev.Serial(), cfg.HSM.Serial), "put in the token that this node was made with")
	case dev.Kind() == hsm.KindSoft:
		return fail(errSoft, "for anything but a trial make the node anew: warifud init --hsm pkcs11")
	}
	if err := dev.Check(); err != nil {
		return fail(err, "the node will not start with it: replace the node")
	}
	if _, err := openIdentity(dir, cfg.Node, dev); err != nil {
		return fail(err, "this directory and this token do not belong together: replace the node")
	}
	f.Fine, f.Says = true, fmt.Sprintf("%s %s opens this node's identity", dev.Kind(), dev.Serial())
	return f
}

func checkPorts(cfg Config, p probes) Finding {
	var failed []error
	tried := []string{cfg.listenClient() + "/udp", cfg.listenPeer() + "/udp"}
	for _, address := range []string{cfg.listenClient(), cfg.listenPeer()} {
		if err := p.datagram(address); err != nil {
			failed = append(failed, err)
		}
	}
	if cfg.Ops.Listen != "" {
		tried = append(tried, cfg.Ops.Listen+"/tcp")
		if err := p.stream(cfg.Ops.Listen); err != nil {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		return Finding{Subject: "ports", Says: strings.ReplaceAll(err.Error(), "\n", "; "), Next: "see who has it: ss -lnptu"}
	}
	return Finding{Subject: "ports", Fine: true, Says: "free: " + strings.Join(tried, ", ")}
}

func checkRoom(dir string, cfg Config, p probes) Finding {
	f := Finding{Subject: "disk"}
	reserve := cfg.AuditReserve
	if reserve == 0 {
		reserve = audit.DefaultReserve
	}
	free, err := p.free(dir)
	switch {
	case err != nil:
		f.Fine, f.Says = true, "not known: "+err.Error()
	case free < reserve+roomWanted:
		f.Says = fmt.Sprintf("%s left: without room for the audit the node releases nothing", size(free))
		f.Next = "warifu audit archive " + filepath.Join(dir, auditDir) + " --to ELSEWHERE, or a larger volume"
	default:
		f.Fine, f.Says = true, size(free)+" left"
	}
	return f
}

// checkMachine is what every node of the machine shares.
func checkMachine(p probes) []Finding {
	lock := Finding{Subject: "memlock"}
	bytes, all, err := p.lock()
	swaps, swapErr := p.swaps()
	switch {
	case err != nil:
		lock.Fine, lock.Says = true, "not known: "+err.Error()
	case all:
		lock.Fine, lock.Says = true, "memory can be locked"
	case swapErr == nil && !swaps:
		lock.Fine, lock.Says = true, "memory cannot be locked, and there is no swap that it could reach"
	default:
		lock.Says = fmt.Sprintf("at most %s can be locked from here, and there may be swap: shares may reach a disk", size(int64(min(bytes, 1<<62))))
		lock.Next = "LimitMEMLOCK=infinity in the unit (ulimit -l unlimited in a shell), or: swapoff -a"
	}
	buffer := Finding{Subject: "receive buffer"}
	most, err := p.receive()
	switch {
	case err != nil:
		buffer.Fine, buffer.Says = true, "not known: "+err.Error()
	case most < ReceiveBuffer:
		buffer.Says = fmt.Sprintf("a socket holds at most %s: a busy node loses packets", size(most))
		buffer.Next = fmt.Sprintf("sysctl -w net.core.rmem_max=%d, and the same line in /etc/sysctl.d/warifu.conf", ReceiveBuffer)
	default:
		buffer.Fine, buffer.Says = true, fmt.Sprintf("a socket may hold %s", size(most))
	}
	clock := Finding{Subject: "clock"}
	kept, err := p.clock()
	switch {
	case err != nil:
		clock.Fine, clock.Says = true, "not known: "+err.Error()
	case !kept:
		clock.Says, clock.Next = "the kernel does not count it as synchronised", "timedatectl set-ntp true, then: timedatectl timesync-status (or chronyc tracking)"
	default:
		clock.Fine, clock.Says = true, "synchronised"
	}
	return []Finding{lock, buffer, clock}
}

// size says a number of bytes.
func size(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
