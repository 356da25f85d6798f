package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of what one machine's monitoring can use up.
const (
	maxConnections = 16 // a scraper and a probe keep one each
	maxHeader      = 8 << 10
	headerTime     = 5 * time.Second
	answerTime     = 15 * time.Second
	idleTime       = 2 * time.Minute // longer than scrapers wait between two
)

// ErrNotLoopback is returned for an address that others than this machine could
// reach: who asks here is not asked who they are.
var ErrNotLoopback = errors.New("not a loopback address")

// CheckAddress refuses an address that is not a loopback one, as a number: a name can
// come to mean another.
func CheckAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return fmt.Errorf("%q: %w: 127.0.0.1 and ::1 are", host, ErrNotLoopback)
	}
	return nil
}

// Config is what a [Serve] needs; every field is required.
type Config struct {
	Listener net.Listener
	Meters   *Meters
	Facts    func() Facts
	// Unready says why the node releases nothing, a sentence each; nothing when it does.
	Unready func() []string
	Log     *slog.Logger
}

// Serve answers until ctx ends, and returns when all is quiet. It closes the listener.
func Serve(ctx context.Context, c Config) error {
	s := &http.Server{
		Handler: handler(c), ReadHeaderTimeout: headerTime, ReadTimeout: answerTime, WriteTimeout: answerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { closed <- s.Close() })
	err := s.Serve(limit(c.Listener))
	if !stop() {
		return errors.Join(<-closed)
	}
	return errors.Join(err, s.Close())
}

func handler(c Config) http.Handler {
	moments := prometheus.NewRegistry()
	moments.MustRegister(moment{c.Facts})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := c.Unready(); len(why) > 0 {
			say(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(why, "\nnot ready: "))
			return
		}
		say(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{moments, c.Meters.registry}, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxConnections, Timeout: answerTime / 3,
	}))
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // whoever asked is gone
}

// limited is a listener with so many connections at once; the next one waits.
type limited struct {
	net.Listener
	places chan struct{}
	closed context.Context
	close  context.CancelFunc
}

func limit(l net.Listener) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &limited{l, make(chan struct{}, maxConnections), ctx, cancel}
}

// Accept implements [net.Listener].
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	gone, leave := context.WithCancel(context.Background())
	context.AfterFunc(gone, func() { <-l.places })
	return &counted{c, leave}, nil
}

// Close implements [net.Listener].
func (l *limited) Close() error {
	l.close()
	return l.Listener.Close()
}

// counted gives its place back, once.
type counted struct {
	net.Conn
	leave context.CancelFunc
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
