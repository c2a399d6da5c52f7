// Command gen-contracts derives everything that follows from the schemas in contracts/schemas:
// the open schemas of consumers, the Go types, the fast validators, the TypeScript types, the catalogue of
// attributes, the glossary and the AsyncAPI document. That one takes names and times of queues from infra/topology.
//
// It understands a declared subset of JSON Schema 2020-12 (keywords.go) and refuses a schema that goes
// beyond it, so that no constraint is lost in silence.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// remedy is the command that mends a stale file.
const remedy = "scripts/gen"

func main() {
	check := flag.Bool("check", false, "write nothing; fail where a generated file is stale")
	root := flag.String("root", ".", "directory that holds contracts/")
	flag.Parse()
	if err := run(*root, *check, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run brings the generated files under root up to date or, with check, reports those that are not.
func run(root string, check bool, out io.Writer) error {
	contracts := filepath.Join(root, "contracts")
	wanted, err := generate(os.DirFS(filepath.Join(contracts, "schemas")))
	if err != nil {
		return err
	}
	present, err := generatedFiles(contracts)
	if err != nil {
		return err
	}

	var stale []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if have, ok := present[name]; !ok || !bytes.Equal(have, wanted[name]) {
			stale = append(stale, name)
		}
	}
	var orphans []string
	for _, name := range slices.Sorted(maps.Keys(present)) {
		if _, ok := wanted[name]; !ok {
			orphans = append(orphans, name)
		}
	}

	if check {
		if len(stale)+len(orphans) == 0 {
			return nil
		}
		var b strings.Builder
		fmt.Fprintln(&b, "generated files do not match contracts/schemas and infra/topology:")
		for _, name := range stale {
			fmt.Fprintf(&b, "  contracts/%s is stale\n", name)
		}
		for _, name := range orphans {
			fmt.Fprintf(&b, "  contracts/%s has no schema any more\n", name)
		}
		fmt.Fprintf(&b, "run this, then commit what it changes:\n  %s", remedy)
		return errors.New(b.String())
	}

	for _, name := range stale {
		path := filepath.Join(contracts, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, wanted[name], 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "wrote contracts/%s\n", name)
	}
	for _, name := range orphans {
		if err := os.Remove(filepath.Join(contracts, filepath.FromSlash(name))); err != nil {
			return err
		}
		fmt.Fprintf(out, "removed contracts/%s\n", name)
	}
	return nil
}

// generate returns every generated file, by its slash-separated path below contracts/.
func generate(schemas fs.FS) (map[string][]byte, error) {
	set, err := load(schemas)
	if err != nil {
		return nil, err
	}
	m, err := newModel(set)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, s := range set.files {
		files["consumer/"+s.path] = encode(open(s.raw))
	}
	emitters := []struct {
		path string
		emit func(*model) ([]byte, error)
	}{
		{"zz_types.go", goTypes},
		{"zz_attributes.go", goAttributes},
		{"zz_validate.go", goValidators},
		{"zz_patterns_test.go", goPatterns},
		{"ts/zz_types.ts", tsTypes},
		{"ts/zz_attributes.ts", tsAttributes},
		{"ts/zz_kinds.ts", tsKinds},
		{"GLOSSARY.md", glossaryPage},
		{"asyncapi.json", asyncAPI},
	}
	for _, e := range emitters {
		if files[e.path], err = e.emit(m); err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
	}
	return files, nil
}

// generatedFiles reads the files that an earlier run left below contracts/.
func generatedFiles(contracts string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, pattern := range []string{"zz_*.go", "ts/zz_*.ts", "GLOSSARY.md", "asyncapi.json"} {
		paths, err := filepath.Glob(filepath.Join(contracts, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if err := readInto(found, contracts, path); err != nil {
				return nil, err
			}
		}
	}
	consumer := filepath.Join(contracts, "consumer")
	if _, err := os.Stat(consumer); errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	err := filepath.WalkDir(consumer, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return readInto(found, contracts, path)
	})
	return found, err
}

func readInto(found map[string][]byte, base, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(base, path)
	if err != nil {
		return err
	}
	found[filepath.ToSlash(name)] = content
	return nil
}
