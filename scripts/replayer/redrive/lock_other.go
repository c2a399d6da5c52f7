//go:build !unix

package redrive

import "os"

// lock does nothing where files cannot be locked: then nobody keeps two processes from one run.
func lock(*os.File) error { return nil }
