// Package api holds what crosses a wire between a client and a node, or between
// two nodes: names, identifiers, requests, answers and error codes.
//
// It decides nothing and knows no transport. Every message is encoded by
// internal/wire; every name is checked once, here, before anything is decided
// about it.
package api
