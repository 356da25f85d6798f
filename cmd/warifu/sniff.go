package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age/armor"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
)

// errNoWarifuFile means that a file holds no envelope, and has none in its header.
var errNoWarifuFile = errors.New("no warifu file: neither an age file with a warifu recipient nor an envelope")

// sniffed is what a file turned out to be: an age file, or an envelope by itself.
type sniffed struct {
	armored bool
	header  *agefile.Header // nil: an envelope by itself
	ours    map[int]agefile.Stanza
	payload io.Reader // of an age file: what follows the header, out of its armor
	alone   []byte    // the envelope
	text    []byte    // as it stands in the file
}

// enveloped is one envelope of a file, with the key that it names.
type enveloped struct {
	at       int // its place among the recipients
	envelope []byte
	context  api.Context // of an age file
	key      api.KeyID
	version  uint32
}

// sniff reads what it takes to know what a file is.
func sniff(src io.Reader) (*sniffed, error) {
	in := bufio.NewReader(src)
	s := &sniffed{}
	if start, _ := in.Peek(len(armor.Header)); bytes.Equal(start, []byte(armor.Header)) {
		s.armored, in = true, bufio.NewReader(armor.NewReader(in))
	}
	const intro = "age-encryption.org/"
	if start, _ := in.Peek(len(intro)); s.armored || bytes.Equal(start, []byte(intro)) {
		var err error
		if s.header, err = agefile.ParseHeader(in); err != nil {
			return nil, asInput(err)
		}
		if s.ours, err = s.header.Ours(); err != nil {
			return nil, err
		}
		if len(s.ours) == 0 {
			return nil, &failure{exitInput, errNoWarifuFile}
		}
		s.payload = in
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(in, maxEnvelopeText+1))
	if err != nil {
		return nil, err
	}
	if len(b) <= maxEnvelopeText {
		s.text = b
		if s.alone, err = decodeEnvelope(b); err == nil {
			if _, _, err = client.NamedIn(s.alone); err == nil {
				return s, nil
			}
		}
	}
	return nil, &failure{exitInput, errNoWarifuFile}
}

// envelopes lists the envelopes of a file, in its order. context is that of an envelope
// by itself.
func (s *sniffed) envelopes(context api.Context) ([]enveloped, error) {
	var out []enveloped
	add := func(at int, envelope []byte, context api.Context) error {
		id, version, err := client.NamedIn(envelope)
		if err != nil {
			return fmt.Errorf("recipient %d: %w", at+1, err)
		}
		out = append(out, enveloped{at, envelope, context, id, version})
		return nil
	}
	if s.header == nil {
		err := add(0, s.alone, context)
		return out, err
	}
	for at, stanza := range s.ours {
		if err := add(at, stanza.Envelope, stanza.Context); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b enveloped) int { return a.at - b.at })
	return out, nil
}
