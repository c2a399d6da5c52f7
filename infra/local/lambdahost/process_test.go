package lambdahost

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"
)

// gone tells that a process has ended, be it reaped by whoever inherited it or not.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, found := bytes.Cut(stat, []byte(") "))
	return err == nil && found && state[0] == 'Z'
}
