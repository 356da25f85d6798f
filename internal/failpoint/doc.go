// Package failpoint marks every step that is durable or outward, so that a test
// can kill the process just before it takes place ("failed") and just after
// ("failed but persisted").
//
// [Step] is the call itself in every build but the one with the tag failpoint:
// it is inlined, and the released warifud holds neither a switch nor its name.
// With the tag, an environment variable names a file; when that says
//
//	STEP failed|persisted N
//
// the process ends itself by SIGKILL at the N-th such step since the file said so. A
// step that fails by itself has not taken place, and is not counted among those that
// persisted.
// The file is read at each step, so that a running node can be armed. A file beside it
// puts the process's clock ahead ([Ahead]), and another variable names a loop that is
// off.
package failpoint
