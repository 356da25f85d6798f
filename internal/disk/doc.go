// Package disk is where a room asks before it changes what rests on disk.
//
// The released daemon asks nobody: a nil [Hook] is the real disk alone, and no
// configuration, flag or environment variable gives another. A test or a
// simulation hands one to each room and makes the disk slow (it waits), full
// (ENOSPC), or dead (EIO for ever: nothing that an old incarnation of a node
// still does reaches what the next one finds).
package disk
