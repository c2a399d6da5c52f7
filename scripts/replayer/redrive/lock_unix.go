//go:build unix

package redrive

import (
	"os"
	"syscall"
)

// Lock takes the file for this process, until it closes it or ends.
func Lock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
