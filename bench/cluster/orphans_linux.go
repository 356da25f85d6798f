package cluster

import "syscall"

// dieWithParent makes nodes end with the process that started them: a test that
// panics leaves none behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
