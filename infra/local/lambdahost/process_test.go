package lambdahost

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// gone tells that a process has ended, be it reaped by whoever inherited it or not.
func gone(pid int) bool {
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || stateOf(fmt.Sprintf("/proc/%d/stat", pid)) == 'Z'
}

// stopped tells that none of a process's threads executes anything until it is resumed. Where the kernel does not tell,
// it is believed to be.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return err == nil && !slices.ContainsFunc(threads, func(stat string) bool { return stateOf(stat) != 'T' })
}

// stateOf is the letter by which the kernel tells the state of a process or thread; 0 where it tells none.
func stateOf(file string) byte {
	stat, err := os.ReadFile(file)
	_, state, found := bytes.Cut(stat, []byte(") "))
	if err != nil || !found {
		return 0
	}
	return state[0]
}
