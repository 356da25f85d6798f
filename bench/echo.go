package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/transport"
)

// An echo is what the way there and back costs, and nothing else: the same frames, over
// the same endpoints with the same TLS, to as many processes as a quorum has, which
// answer nothing.

// ServeEcho answers every frame with an empty one until in ends, which it does when
// the process that started this one has gone. First it says on out where it listens,
// and the key it proves.
func ServeEcho(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // whatever ends it, it has ended
	}()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cert, spki, err := echoIdentity("echo")
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	s, err := transport.Listen(transport.ServerConfig{
		Conn: socket, Certificate: cert, ALPN: api.ClientProtocol,
		Admit: func(*transport.Caller) error { return nil }, Handler: silence{},
	})
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	if _, err := fmt.Fprintln(out, socket.LocalAddr(), spki); err != nil {
		return errors.Join(err, socket.Close())
	}
	return s.Serve(ctx)
}

// echoIdentity is a certificate of a new key.
func echoIdentity(name string) (cert tls.Certificate, spki transport.SPKI, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, spki, err
	}
	if cert, err = transport.SelfSigned(key, name, time.Now()); err != nil {
		return cert, spki, err
	}
	spki, err = transport.SPKIOf(key.Public())
	return cert, spki, err
}

// silence answers nothing to anything.
type silence struct{}

func (silence) Serve(context.Context, *transport.Caller, uint16, []byte) ([]byte, error) {
	return nil, nil
}

// Echo is some processes that run [ServeEcho], and a connection to each.
type Echo struct {
	servers []*echoServer
}

type echoServer struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
	spki  transport.SPKI
	conn  *transport.Conn
}

// StartEcho starts n processes of a command that ends in [ServeEcho], with something
// added to their environment, and connects to each. by, if not nil, is asked for another
// address to reach one at.
func StartEcho(ctx context.Context, n int, command, environment []string, by func(addr string) (string, error)) (_ *Echo, err error) {
	e := &Echo{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start an echo: %w", err), e.Close())
		}
	}()
	cert, _, err := echoIdentity("caller")
	if err != nil {
		return nil, err
	}
	for range n {
		s, err := startEchoServer(command, environment)
		if err != nil {
			return nil, err
		}
		e.servers = append(e.servers, s)
		addr := s.addr
		if by != nil {
			if addr, err = by(addr); err != nil {
				return nil, err
			}
		}
		if s.conn, err = transport.Dial(ctx, transport.DialConfig{
			Certificate: cert, ServerKey: s.spki, ALPN: api.ClientProtocol, Addr: addr,
		}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func startEchoServer(command, environment []string) (*echoServer, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stderr = append(os.Environ(), environment...), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &echoServer{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		var key string
		var spki []byte
		s.addr, key, _ = strings.Cut(strings.TrimSpace(line), " ")
		if spki, err = hex.DecodeString(key); err == nil && len(spki) != len(s.spki) {
			err = fmt.Errorf("it says %q", line)
		}
		copy(s.spki[:], spki)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// Call sends one frame with a body to each, and returns when all have answered.
func (e *Echo) Call(ctx context.Context, body []byte) error {
	errs := make([]error, len(e.servers))
	var others sync.WaitGroup
	for i, s := range e.servers[1:] {
		others.Go(func() { _, errs[1+i] = s.conn.Call(ctx, api.MethodUnwrap, body) })
	}
	_, errs[0] = e.servers[0].conn.Call(ctx, api.MethodUnwrap, body)
	others.Wait()
	return errors.Join(errs...)
}

// PIDs are the processes, by names of their own.
func (e *Echo) PIDs() map[string]int {
	out := map[string]int{}
	for i, s := range e.servers {
		out[fmt.Sprintf("echo-%d", i+1)] = s.cmd.Process.Pid
	}
	return out
}

// Close ends the processes and returns when they have.
func (e *Echo) Close() error {
	var errs []error
	for _, s := range e.servers {
		if s.conn != nil {
			errs = append(errs, s.conn.Close())
		}
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// echoEnds bounds the end of an echo's process, which has nothing to finish.
const echoEnds = 10 * time.Second

func (s *echoServer) close() error {
	err := s.stdin.Close()
	late := time.AfterFunc(echoEnds, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(err, s.cmd.Wait())
}
