//go:build unix

package lambdahost

import "syscall"

type signal = syscall.Signal

const (
	kill   = syscall.SIGKILL
	stop   = syscall.SIGSTOP
	resume = syscall.SIGCONT
)

// signalGroup reaches the function's process and its children, which share a group.
func signalGroup(pid int, sig signal) error { return syscall.Kill(-pid, sig) }
