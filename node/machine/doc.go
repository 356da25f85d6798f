// Package machine says what the machine gives a node: room on its disk, memory that
// may be locked, receive buffers, a clock that somebody keeps. It reads and changes
// nothing; what the system does not say is unknown.
package machine
