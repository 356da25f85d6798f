//go:build unix

package main

import (
	"io/fs"
	"os"
)

// openTerminal opens the terminal that this process was started from.
func openTerminal() (terminal, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return terminal{tty, tty}, err
}

// othersWrite says whether others than its owner may write a file.
func othersWrite(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }

// takesColours says whether a terminal acts on escape sequences.
func takesColours(*os.File) bool { return true }

// syncDir makes the names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
