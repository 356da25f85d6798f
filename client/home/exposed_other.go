//go:build !unix

package home

import "io/fs"

// exposed is always false: these systems keep no mode of Unix, and what Go shows
// as one is made up from whether the file may be written. Who may read a file is
// decided by its directory's access list, which a user's own folder has right.
func exposed(fs.FileInfo) bool { return false }
