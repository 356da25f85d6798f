// Package transport carries frames and Raft's byte streams between callers and
// nodes, over QUIC (RFC 9000) under mutual TLS 1.3 (RFC 8446).
//
// A node has two UDP sockets: a [Server] for clients and a [Peers] for the
// other nodes. A flood of clients fills one socket's buffer and one accept
// queue; the heartbeats of the peers are in the other.
//
// What it promises. The key of the other end is pinned: a client names the one
// key its server may have, a node asks its roster who a key belongs to. Every
// connection proves possession of its key in TLS, agrees its secret with
// X25519MLKEM768 and nothing else, and starts afresh: no 0-RTT and no session
// tickets, so no request can be replayed and no certificate is skipped. Sizes
// are checked before anything is parsed, and every queue, wait and count has a
// bound in [Limits]. Whoever is refused learns why by a name.
//
// What it leaves to others. It knows no ledger, roster or policy; it asks
// callbacks. Who a caller is and what it may do is the handler's to decide, on
// every request, because a certificate may be revoked while its connection
// lives. Addresses are hints: a wrong one can only fail the pin.
//
// # Frames
//
// A connection for calls carries one long-lived bidirectional stream of frames.
// A frame is
//
//	length, 4 bytes big-endian ‖ CBOR (internal/wire)
//
//	request  {1: id, 2: method, 3: timeout in ms (absent: the server's), 4: body}
//	answer   {1: id, 2: refusal code, 3: sentence, 4: retryable, 5: body, 6: detail}
//
// Requests are pipelined and answers come in the order in which they are ready;
// the id, chosen by the caller and never reused on a connection, matches them. An
// answer with a code is a refusal; 2, 3, 4 and 6 are absent in one without.
//
// The socket's buffers matter under load: see net.core.rmem_max in Linux.
package transport
