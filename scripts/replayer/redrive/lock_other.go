//go:build !unix

package redrive

import "os"

// Lock does nothing where files cannot be locked: then nobody keeps two processes from one run.
func Lock(*os.File) error { return nil }
