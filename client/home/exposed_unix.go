//go:build unix

package home

import "io/fs"

// exposed says whether others may read or write a file (R27).
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
