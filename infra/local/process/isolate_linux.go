package process

import (
	"os/exec"
	"syscall"
)

// Isolate gives the child that c will start a process group of its own, so that a ctrl-C in the
// terminal reaches only us, and has the kernel kill it when we die without a word.
func Isolate(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
