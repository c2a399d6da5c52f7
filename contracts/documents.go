package contracts

import "embed"

// Documents holds examples/ and rejects/, each below a folder of that name and then in the folder of its
// kind, for tests. A program that does not use it does not carry it.
//
//go:embed examples rejects
var Documents embed.FS
