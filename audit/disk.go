package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"warifu.dev/internal/disk"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// file is what the writer needs of a segment. Tests break each call as
// "failed" and as "failed but persisted".
type file interface {
	WriteAt(b []byte, off int64) (int, error)
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Close() error
}

// openFile opens or creates path with mode 0600 whatever the umask.
func openFile(hook disk.Hook, path string) (file, error) {
	f, err := create(hook, path)
	if err != nil {
		return nil, err
	}
	return asking{f, hook}, nil
}

func create(hook disk.Hook, path string) (*os.File, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := hook.Before(disk.Create, path); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(fileMode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// asking is a file whose disk is asked before each change.
type asking struct {
	*os.File
	hook disk.Hook
}

func (f asking) WriteAt(b []byte, off int64) (int, error) {
	if err := f.hook.Before(disk.Write, f.Name()); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f asking) Sync() error {
	if err := f.hook.Before(disk.Sync, f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f asking) Truncate(size int64) error {
	if err := f.hook.Before(disk.Truncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// makeDir creates dir with mode 0700 whatever the umask, or checks what is there.
func makeDir(hook disk.Hook, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := hook.Before(disk.Create, dir); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, dirMode); {
	case err == nil:
		if err := os.Chmod(dir, dirMode); err != nil {
			return err
		}
		return syncDir(hook, filepath.Dir(dir))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	return nil
}

// checkModes refuses a directory or a file in it that others may touch, a link,
// and anything that is not a file or a directory of tiles.
func checkModes(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if loose(info, dirMode) {
		return fmt.Errorf("%w: %s is %v, at most %v is taken", ErrLooseMode, dir, info.Mode().Perm(), dirMode)
	}
	tiles := filepath.Join(dir, tileDir)
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		most := fileMode
		if info.IsDir() && (path == tiles || strings.HasPrefix(path, tiles+string(filepath.Separator))) {
			most = dirMode
		} else if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		if loose(info, most) {
			return fmt.Errorf("%w: %s is %v, at most %v is taken", ErrLooseMode, path, info.Mode().Perm(), most)
		}
		return nil
	})
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

// nextSuffix marks a file that is being written, to take another's place.
const nextSuffix = ".next"

func rename(hook disk.Hook, from, to string) error {
	if err := hook.Before(disk.Rename, to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func remove(hook disk.Hook, path string) error {
	if err := hook.Before(disk.Remove, path); err != nil {
		return err
	}
	return os.Remove(path)
}

// replaceFile puts b under path so that a crash leaves the old bytes or the new.
func replaceFile(hook disk.Hook, path string, b []byte) error {
	next := path + nextSuffix
	f, err := openFile(hook, next)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := rename(hook, next, path); err != nil {
		return err
	}
	return syncDir(hook, filepath.Dir(path))
}

// makeReserve fills path with size zeros, unless it has them.
func makeReserve(hook disk.Hook, path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := openFile(hook, path)
	if err != nil {
		return err
	}
	err = f.Truncate(0) // never a sparse file of the right size after a crash: grown by writes alone
	zeros := make([]byte, min(size, 1<<20))
	for off := int64(0); err == nil && off < size; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = remove(hook, path) // half a reserve would only take the last room there is
	}
	return errors.Join(err, f.Close())
}

// isFull says whether err means that there is no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
