package lambdahost

import "syscall"

// processAttributes puts a sandbox in a group of its own, out of reach of a terminal's ctrl-C, and has the kernel kill
// it when the host dies without closing.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
