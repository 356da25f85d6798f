package cluster_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// secretBytes is something that must stand nowhere in the clear.
type secretBytes struct {
	name  string
	bytes []byte
}

// form is one way in which a secret could be written down.
type form struct{ secret, as, text string }

// formsOf writes a secret in every way the scan looks for.
func formsOf(s secretBytes) []form {
	hexed := hex.EncodeToString(s.bytes)
	out := []form{
		{s.name, "raw", string(s.bytes)},
		{s.name, "hex", hexed},
		{s.name, "HEX", strings.ToUpper(hexed)},
	}
	backwards := slices.Clone(s.bytes)
	slices.Reverse(backwards)
	out = append(out, form{s.name, "little-endian", string(backwards)})
	for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		// Inside a longer text a secret may begin at any of three places of a group
		// of 24 bits; what its neighbours take part in is cut off.
		for before := range 3 {
			text := enc.EncodeToString(append(make([]byte, before), s.bytes...))
			text = text[(before*8+5)/6 : (before+len(s.bytes))*8/6]
			out = append(out, form{s.name, fmt.Sprintf("%s, %d bytes into a group", name, before), text})
		}
	}
	return out
}

// plantings are texts in which a secret stands in each of its forms, made from
// whole texts around it, as a log or a file would.
func plantings(s secretBytes) map[form]string {
	out := map[form]string{}
	for _, f := range formsOf(s) {
		out[f] = "before " + f.text + " after"
		for name, enc := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			for before := range 3 {
				if f.as == fmt.Sprintf("%s, %d bytes into a group", name, before) {
					out[f] = enc.EncodeToString([]byte("012345"[:3+before] + string(s.bytes) + "after"))
				}
			}
		}
	}
	return out
}

// scanner finds any of many texts in one pass.
type scanner struct {
	first [1 << 16]bool
	by    map[[8]byte][]form
}

func newScanner(secrets []secretBytes) *scanner {
	s := &scanner{by: map[[8]byte][]form{}}
	for _, secret := range secrets {
		for _, f := range formsOf(secret) {
			head := [8]byte([]byte(f.text))
			s.first[int(head[0])<<8|int(head[1])] = true
			s.by[head] = append(s.by[head], f)
		}
	}
	return s
}

// find returns every form that stands in b.
func (s *scanner) find(b []byte) []form {
	var found []form
	for i := 0; i+8 <= len(b); i++ {
		if !s.first[int(b[i])<<8|int(b[i+1])] {
			continue
		}
		for _, f := range s.by[[8]byte(b[i:i+8])] {
			if len(b)-i >= len(f.text) && string(b[i:i+len(f.text)]) == f.text {
				found = append(found, f)
			}
		}
	}
	return found
}

// finding is a form and the file it stands in.
type finding struct {
	form
	path string
}

// findBelow scans every file below dir.
func (s *scanner) findBelow(dir string) (found []finding, files int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, f := range s.find(b) {
			found = append(found, finding{f, path})
		}
		return nil
	})
	return found, files, err
}
