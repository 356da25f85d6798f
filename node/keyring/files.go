package keyring

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"warifu.dev/internal/disk"
)

// maxFile bounds what is written and read back: about 50,000 shares, or 3,600 of
// symmetric keys of 5-of-9.
const maxFile = 8 << 20

// Unfinished ends the name of a file that a crash may have left half written.
const Unfinished = ".new"

// WriteFile replaces dir/name by content and returns when it is durable: written
// beside its place with mode 0600, synced, renamed, the directory synced.
func WriteFile(hook disk.Hook, dir, name string, content []byte) (err error) {
	path := filepath.Join(dir, name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := hook.Before(disk.Create, path+Unfinished); err != nil {
		return err
	}
	f, err := os.OpenFile(path+Unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// A file left by a crash may have had another mode, and a umask takes bits (R27).
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = hook.Before(disk.Write, path+Unfinished); err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = hook.Before(disk.Sync, path+Unfinished)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	// From here, a crash leaves either the old content or the new.
	if err := hook.Before(disk.Rename, path); err != nil {
		return err
	}
	if err := os.Rename(path+Unfinished, path); err != nil {
		return err
	}
	return syncDir(hook, dir)
}

func syncDir(hook disk.Hook, dir string) error {
	if err := hook.Before(disk.Sync, dir); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveFile removes dir/name, if it is there.
func RemoveFile(hook disk.Hook, dir, name string) error {
	path := filepath.Join(dir, name)
	if err := hook.Before(disk.Remove, path); err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// ReadFile reads dir/name, which must not be longer than a keyring can be.
func ReadFile(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read %s: larger than any keyring", name)
	}
	return b, nil
}
