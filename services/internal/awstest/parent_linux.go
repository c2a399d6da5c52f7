package awstest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the server when the test process is killed.
func dieWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
