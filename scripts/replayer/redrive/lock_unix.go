//go:build unix

package redrive

import (
	"os"
	"syscall"
)

// lock takes the file for this process, until it closes it or ends.
func lock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
