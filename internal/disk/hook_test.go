package disk

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

func TestNoHookIsTheRealDisk(t *testing.T) {
	if err := Hook(nil).Before(Write, "a"); err != nil {
		t.Error(err)
	}
}

func TestAHookIsAskedAndItsErrorIsTheDisks(t *testing.T) {
	var asked []string
	hook := Hook(func(op Op, path string) error {
		asked = append(asked, string(op)+" "+path)
		if op == Sync {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := hook.Before(Write, "a"); err != nil {
		t.Error(err)
	}
	err := hook.Before(Sync, "a")
	var at *fs.PathError
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &at) || at.Path != "a" {
		t.Errorf("got %v", err)
	}
	if len(asked) != 2 || asked[0] != "write a" || asked[1] != "sync a" {
		t.Errorf("asked %q", asked)
	}
}
