package transport

import "time"

// Limits bounds what the other end can make us hold. A zero field takes its
// default, which [DefaultLimits] lists.
type Limits struct {
	// Connections is how many admitted connections there may be at a time.
	Connections int
	// ConnectionsPerKey is how many of them one key may have. Times InFlight, it
	// should be less than InFlightTotal, so that one caller cannot take it all.
	ConnectionsPerKey int
	// HalfOpen is how many handshakes may be in progress; more are refused.
	HalfOpen int
	// HalfOpenPerSource is how many of them one address may have that has proven to
	// receive there, an IPv6 network of 64 bits being one address. It is well below
	// HalfOpen, so that no single machine keeps all others out.
	HalfOpenPerSource int
	// HandshakesPerSource is how many handshakes such an address may begin in a
	// second; what is over is refused before any cryptography. It leaves most of a
	// core to a node that several machines call without end.
	HandshakesPerSource int
	// RetryAbove is the number of handshakes in progress above which an address
	// must first prove that it receives what we send to it (Retry, RFC 9000,
	// section 8.1.2). It costs the caller a round trip, so it is for floods.
	RetryAbove int
	// InFlight is how many requests of one connection may be at work, or their
	// answers on the way out. A [Conn] uses half of it and lets calls wait.
	InFlight int
	// InFlightTotal is how many there may be in all. Times the larger of
	// MaxRequest and MaxAnswer, it bounds the memory they take.
	InFlightTotal int
	// MaxRequest is the longest request frame, in bytes.
	MaxRequest int
	// MaxAnswer is the longest answer frame, in bytes.
	MaxAnswer int
	// Timeout is how long a request may be at work, whatever it asks for.
	Timeout time.Duration
	// Idle is how long a silent connection lives.
	Idle time.Duration
}

// DefaultLimits returns what a zero field of [Limits] means.
func DefaultLimits() Limits {
	return Limits{
		Connections:         1024,
		ConnectionsPerKey:   32,
		HalfOpen:            1024,
		HalfOpenPerSource:   128,
		RetryAbove:          32,
		HandshakesPerSource: 64,
		InFlight:            128,
		InFlightTotal:       2048,
		MaxRequest:          300 << 10, // a ledger entry of 256 KiB, with its frame and its request
		MaxAnswer:           1 << 20,   // a page of the audit log
		Timeout:             30 * time.Second,
		Idle:                60 * time.Second,
	}
}

// Waits and bounds that no configuration changes.
const (
	// handshakeWait ends a handshake that makes no progress. Two round trips
	// across the world take less than a second.
	handshakeWait = 3 * time.Second
	// firstStreamWait is how long an admitted connection may stay without the
	// stream it was made for.
	firstStreamWait = 10 * time.Second
	// writeWait is how long one write may take: a caller that does not read its
	// answers is cut off.
	writeWait = 10 * time.Second
	// frameOverhead is more than the encoding of a request or of an answer takes
	// beyond its texts and bodies.
	frameOverhead = 64
	// writeBuffer collects frames into one write.
	writeBuffer = 32 << 10
	// framesQueued is how many frames wait for the writer.
	framesQueued = 64
	// PeerIdle and PeerKeepAlive: a dead peer is noticed in 10 s, and a follower
	// with nothing to say is not taken for one.
	PeerIdle      = 10 * time.Second
	PeerKeepAlive = 3 * time.Second
	// ClientKeepAlive is how often a client shows that it is there.
	ClientKeepAlive = 20 * time.Second
)

// or fills the zero fields of l from d.
func (l Limits) or(d Limits) Limits {
	for _, f := range []struct{ field, byDefault *int }{
		{&l.Connections, &d.Connections},
		{&l.ConnectionsPerKey, &d.ConnectionsPerKey},
		{&l.HalfOpen, &d.HalfOpen},
		{&l.HalfOpenPerSource, &d.HalfOpenPerSource},
		{&l.HandshakesPerSource, &d.HandshakesPerSource},
		{&l.RetryAbove, &d.RetryAbove},
		{&l.InFlight, &d.InFlight},
		{&l.InFlightTotal, &d.InFlightTotal},
		{&l.MaxRequest, &d.MaxRequest},
		{&l.MaxAnswer, &d.MaxAnswer},
	} {
		if *f.field == 0 {
			*f.field = *f.byDefault
		}
	}
	if l.Timeout == 0 {
		l.Timeout = d.Timeout
	}
	if l.Idle == 0 {
		l.Idle = d.Idle
	}
	return l
}
