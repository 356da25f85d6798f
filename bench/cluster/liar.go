package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What a daemon that [BuildLiar] built reads from its environment. No other does.
const (
	// LiesVariable is "EVERY OFFSET": of every so many partials it gives, the one at the
	// offset is another point. Without it the daemon is honest.
	LiesVariable = "WARIFU_LIES"
	// LiesWhileVariable names a file: the daemon lies while it is there. Without it, always.
	LiesWhileVariable = "WARIFU_LIES_WHILE"
)

// honest is how the gate makes a partial.
const honest = "partial := it.verified.Partial(it.share.Scalar)"

// lying is what is compiled in beside it.
const lying = `package gate

import (
	"fmt"
	"os"
	"sync/atomic"

	"warifu.dev/sharing/group"
)

var (
	given         atomic.Uint64
	every, offset uint64
	while         = os.Getenv("` + LiesWhileVariable + `")
)

func init() { fmt.Sscan(os.Getenv("` + LiesVariable + `"), &every, &offset) }

func nowAndThenAnother(p *group.Point) *group.Point {
	if every == 0 || given.Add(1)%every != offset {
		return p
	}
	if _, err := os.Stat(while); while != "" && err != nil {
		return p
	}
	return p.Add(p)
}
`

// BuildLiar builds a warifud into dir that is as this module's, and lies when its
// environment says so. It is for measurements and tests: nothing of it is in the daemon
// that this module has.
func BuildLiar(dir string) (err error) {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	at := filepath.Join(root, "node", "gate")
	gate, err := os.ReadFile(filepath.Join(at, "gate.go"))
	if err != nil {
		return err
	}
	if strings.Count(string(gate), honest) != 1 {
		return fmt.Errorf("build a liar: the gate does not make partials by %q", honest)
	}
	tmp, err := os.MkdirTemp("", "liar-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	replace := map[string]string{}
	for name, text := range map[string]string{
		"gate.go": strings.Replace(string(gate), honest, honest+"\n\tpartial = nowAndThenAnother(partial)", 1),
		"liar.go": lying,
	} {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		replace[filepath.Join(at, name)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlay := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		return err
	}
	return build(dir, "-overlay", overlay)
}
