// Command contract-gates keeps the promises that contracts/ makes to other teams:
//
//   - a release of a schema, once published, never changes (published.go);
//   - within a major version, every change since any release is one that neither an old producer nor an
//     old consumer notices (classify.go);
//   - consumers of every release read every example of today (readers.go);
//   - every field and every enum value occurs in an example (coverage.go).
//
// scripts/gen --check runs it, scripts/gen --publish releases the schemas as they are.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	publish := flag.Bool("publish", false, "release every schema that differs from its last release")
	root := flag.String("root", ".", "directory that holds contracts/")
	flag.Parse()
	if err := run(*root, *publish, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run checks the contracts below root or, with publish, releases what may be released.
func run(root string, publish bool, out io.Writer) error {
	contracts := filepath.Join(root, "contracts")
	if !publish {
		problems, err := check(os.DirFS(contracts))
		if err == nil && len(problems) > 0 {
			err = problems
		}
		return err
	}
	files, news, err := release(os.DirFS(contracts))
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(contracts, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.content, 0o644); err != nil {
			return err
		}
	}
	for _, line := range news {
		fmt.Fprintln(out, line)
	}
	return nil
}
