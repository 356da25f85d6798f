package main

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openTerminal opens the console that this process was started from.
func openTerminal() (terminal, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return terminal{}, err
	}
	out, err := os.OpenFile("CONOUT$", os.O_WRONLY, 0)
	if err != nil {
		in.Close()
		return terminal{}, err
	}
	return terminal{in, out}, nil
}

// othersWrite says no: a file has no mode there, see [readSecret].
func othersWrite(fs.FileInfo) bool { return false }

// takesColours asks the console to act on escape sequences, which an older one
// would print.
func takesColours(f *os.File) bool {
	var mode uint32
	console := windows.Handle(f.Fd())
	return windows.GetConsoleMode(console, &mode) == nil &&
		windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// syncDir does nothing: Windows syncs no directory. NTFS keeps names in its
// journal, so that a crash leaves the old name or the new one.
func syncDir(string) error { return nil }

// sameOwner does nothing: a new file takes its owner and its rights from the folder.
func sameOwner(*os.File, fs.FileInfo) error { return nil }
