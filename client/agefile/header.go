package agefile

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// The header of an age file (age-encryption.org/v1, "Header"):
//
//	age-encryption.org/v1
//	-> TYPE ARGUMENT ...
//	BODY, base64 without padding, in lines of 64, the last one shorter
//	-> ...
//	--- MAC, base64 without padding
//
// The MAC is HMAC-SHA-256 over everything before the blank after "---", under a key
// derived from the file key. What follows the header's last line is encrypted under
// another key derived from it, and knows nothing of the header.
const (
	headerIntro  = "age-encryption.org/v1\n"
	stanzaPrefix = "-> "
	macPrefix    = "---"
	bodyColumns  = 64
	// maxHeader bounds a header, in bytes: some hundred recipients.
	maxHeader = 1 << 20
)

// Errors of reading and rewriting headers.
var (
	// ErrNotAge means that bytes do not begin as an age file does, or that the header
	// is not as the format draws it.
	ErrNotAge = errors.New("not the header of an age file")
	// ErrHeaderMAC means that the header was altered, or belongs to another file key.
	ErrHeaderMAC = errors.New("the header's MAC fails")
)

// Header is the head of an age file.
type Header struct {
	Stanzas []*age.Stanza
	mac     []byte
}

// ParseHeader reads a header and leaves r at the first byte after it. Nothing in it is
// verified. Failures wrap [ErrNotAge], or are the reader's.
func ParseHeader(r *bufio.Reader) (*Header, error) {
	in := &lines{r: r}
	if intro, err := in.next(); err != nil || intro+"\n" != headerIntro {
		return nil, orReader(err, "it has another first line")
	}
	h := &Header{}
	for {
		line, err := in.next()
		if err != nil {
			return nil, orReader(err, "it ends early")
		}
		if mac, is := strings.CutPrefix(line, macPrefix+" "); is {
			if h.mac, err = unpadded(mac); err != nil || len(h.mac) != sha256.Size {
				return nil, fmt.Errorf("%w: its MAC is none", ErrNotAge)
			}
			if len(h.Stanzas) == 0 {
				return nil, fmt.Errorf("%w: it has no recipients", ErrNotAge)
			}
			return h, nil
		}
		s, err := in.stanza(line)
		if err != nil {
			return nil, err
		}
		h.Stanzas = append(h.Stanzas, s)
	}
}

// lines reads a header line by line, and no more of it than there may be.
type lines struct {
	r    *bufio.Reader
	size int
}

var errTooLong = fmt.Errorf("%w: it has more than %d bytes", ErrNotAge, maxHeader)

func (l *lines) next() (string, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if l.size += len(part); l.size > maxHeader {
			return "", errTooLong
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(bytes.TrimSuffix(line, []byte("\n"))), err
		}
	}
}

// orReader is what the reader failed with, or that the bytes are no header.
func orReader(err error, why string) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s", ErrNotAge, why)
	}
	return err
}

func (l *lines) stanza(line string) (*age.Stanza, error) {
	head, is := strings.CutPrefix(line, stanzaPrefix)
	words := strings.Split(head, " ")
	if !is || !everyVisible(words) {
		return nil, fmt.Errorf("%w: a recipient begins with %q and words", ErrNotAge, stanzaPrefix)
	}
	s := &age.Stanza{Type: words[0], Args: words[1:]}
	for {
		line, err := l.next()
		if err != nil {
			return nil, orReader(err, "it ends early")
		}
		part, err := unpadded(line)
		if err != nil || len(line) > bodyColumns {
			return nil, fmt.Errorf("%w: the body of a recipient is not in lines of base64", ErrNotAge)
		}
		s.Body = append(s.Body, part...)
		if len(line) < bodyColumns {
			return s, nil
		}
	}
}

// everyVisible says whether each word has characters, and only visible ones of ASCII.
func everyVisible(words []string) bool {
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			return false
		}
	}
	return true
}

// unpadded reads canonical base64; line ends, which the decoder would skip, are none.
func unpadded(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.RawStdEncoding.Strict().DecodeString(s)
}

// Ours lists the stanzas of threshold keys, by their place among all. A malformed one
// is an [ErrStanza].
func (h *Header) Ours() (map[int]Stanza, error) {
	ours := map[int]Stanza{}
	for i, s := range h.Stanzas {
		if s.Type != StanzaType {
			continue
		}
		if len(ours) == maxStanzas {
			return nil, fmt.Errorf("%w: there are more than %d", ErrStanza, maxStanzas)
		}
		parsed, err := Parse(s)
		if err != nil {
			return nil, err
		}
		ours[i] = parsed
	}
	return ours, nil
}

// Rewrite is the header with other recipients, for the same payload: its MAC is made
// anew, and the old one is checked first, so that nobody's alteration is blessed.
func (h *Header) Rewrite(fileKey []byte, stanzas []*age.Stanza) ([]byte, error) {
	was, err := headerMAC(fileKey, h.Stanzas)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(was, h.mac) {
		return nil, ErrHeaderMAC
	}
	mac, err := headerMAC(fileKey, stanzas)
	if err != nil {
		return nil, err
	}
	return append(unsealed(stanzas), " "+base64.RawStdEncoding.EncodeToString(mac)+"\n"...), nil
}

// unsealed is a header up to and with "---".
func unsealed(stanzas []*age.Stanza) []byte {
	b := []byte(headerIntro)
	for _, s := range stanzas {
		b = append(b, stanzaPrefix+strings.Join(append([]string{s.Type}, s.Args...), " ")+"\n"...)
		body := base64.RawStdEncoding.EncodeToString(s.Body)
		for ; len(body) >= bodyColumns; body = body[bodyColumns:] {
			b = append(b, body[:bodyColumns]+"\n"...)
		}
		b = append(b, body+"\n"...)
	}
	return append(b, macPrefix...)
}

// headerMAC follows age-encryption.org/v1, "Header MAC".
func headerMAC(fileKey []byte, stanzas []*age.Stanza) ([]byte, error) {
	if len(fileKey) != fileKeySize {
		return nil, ErrFileKey
	}
	key, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	mac.Write(unsealed(stanzas))
	return mac.Sum(nil), nil
}
