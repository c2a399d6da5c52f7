// Package layout holds the shape of the repository: which package may import which, where the
// environment is read, and what lies at the top.
package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/iops-dashboard/live/"

// file is one Go file of the repository, by its slash-separated path from the root.
type file struct {
	path    string
	test    bool
	imports []string
	syntax  *ast.File
}

func (f file) in(folder string) bool { return strings.HasPrefix(f.path, folder+"/") }

// stage is the folder of a file that is a stage of the flow, as services/fanout; else empty. services/bench
// is none: it measures one.
func (f file) stage() string {
	parts := strings.Split(f.path, "/")
	if len(parts) > 2 && parts[0] == "services" && !slices.Contains([]string{"internal", "cmd", "bench"}, parts[1]) {
		return path.Join(parts[0], parts[1])
	}
	return ""
}

// adapter reports whether a package of services/internal is an adapter or a conformance suite: it
// lies under a port, as services/internal/registry/dynamoregistry.
func adapter(pkg string) bool {
	return strings.HasPrefix(pkg, "services/internal/") && strings.Count(pkg, "/") > 2
}

func sdk(pkg string) bool {
	return strings.HasPrefix(pkg, "github.com/aws/aws-sdk-go-v2") || strings.HasPrefix(pkg, "github.com/aws/smithy-go")
}

// rules say why a file must not import a package, or "" where it may. pkg is without the module's
// prefix for our own packages.
var rules = []func(f file, pkg string) string{
	func(f file, pkg string) string {
		if f.in("contracts") && (strings.HasPrefix(pkg, "services/") || strings.HasPrefix(pkg, "infra/") || strings.HasPrefix(pkg, "scripts/")) {
			return "contracts depend on nothing else of ours, so that others can import them"
		}
		return ""
	},
	func(f file, pkg string) string {
		if pkg == "contracts/nextmajor" && !f.test {
			return "nobody sends or reads the worked major version; only tests do"
		}
		return ""
	},
	func(f file, pkg string) string {
		if (f.in("infra") || f.in("scripts")) && strings.HasPrefix(pkg, "services/") {
			return "infra and scripts run the services' binaries, they never import their code"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.in("services") && strings.HasPrefix(pkg, "infra/") && !(f.test && f.in("services/internal/config")) {
			return "services know nothing of where they run; only the test of config compares itself with the topology"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.in("services") && strings.HasPrefix(pkg, "scripts/") {
			return "services do not depend on scripts"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.stage() != "" && !f.test && adapter(pkg) {
			return "a stage takes a port; services/cmd chooses the adapter"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.stage() != "" && sdk(pkg) {
			return "a stage uses no SDK client; an adapter does"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.stage() != "" && strings.HasPrefix(pkg, "services/") && !strings.HasPrefix(pkg, "services/internal/") && !strings.HasPrefix(pkg, f.stage()) {
			return "stages do not import each other: they meet in a contract or a port"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.in("services/internal") && strings.HasPrefix(pkg, "services/") && !strings.HasPrefix(pkg, "services/internal/") {
			return "a port knows no stage"
		}
		return ""
	},
	func(f file, pkg string) string {
		if f.in("services/internal") && !f.test && !adapter(path.Dir(f.path)) && adapter(pkg) {
			return "a port knows no adapter"
		}
		return ""
	},
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		for _, pkg := range f.imports {
			for _, rule := range rules {
				if why := rule(f, strings.TrimPrefix(pkg, module)); why != "" {
					t.Errorf("%s imports %s: %s", f.path, pkg, why)
				}
			}
		}
	}
}

func TestRulesCatchWhatTheyForbid(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ path, pkg string }{
		{"contracts/x.go", "services/fanout"},
		{"services/fanout/x.go", "contracts/nextmajor"},
		{"infra/local/x.go", "services/internal/fault"},
		{"services/fanout/x.go", "infra/topology"},
		{"services/fanout/x.go", "services/internal/registry/dynamoregistry"},
		{"services/fanout/x.go", "github.com/aws/aws-sdk-go-v2/service/sqs"},
		{"services/fanout/x.go", "services/normalizer"},
		{"services/internal/queue/x.go", "services/fanout"},
		{"services/internal/queue/x.go", "services/internal/queue/sqsqueue"},
		{"services/cmd/fanout/x.go", "scripts/simulate"},
	} {
		caught := slices.ContainsFunc(rules, func(rule func(file, string) string) bool {
			return rule(file{path: tc.path}, tc.pkg) != ""
		})
		if !caught {
			t.Errorf("no rule forbids %s in %s", tc.pkg, tc.path)
		}
	}
}

// Only services/cmd and services/internal/config read the environment.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if !f.in("services") || f.in("services/cmd") || f.in("services/internal/config") || f.test {
			continue
		}
		for _, call := range []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"} {
			if calls(f, "os", call) {
				t.Errorf("%s calls os.%s: take a value, and let services/internal/config read it", f.path, call)
			}
		}
	}
}

// A test waits for a signal, never for a time.
func TestNoTestSleeps(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if f.test && calls(f, "time", "Sleep") && !imports(f, "testing/synctest") {
			t.Errorf("%s calls time.Sleep: wait for what you wait for", f.path)
		}
	}
}

// The mains are a screenful: read the configuration, wire, run.
func TestMainsAreShort(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if lines := strings.Count(read(t, f.path), "\n"); f.in("services/cmd") && !f.test && lines > 70 {
			t.Errorf("%s has %d lines: a main reads its configuration, wires and runs", f.path, lines)
		}
	}
}

func TestTopLevelIsComplete(t *testing.T) {
	t.Parallel()
	want := []string{"LICENSE", "README.md", "contracts", "frontend", "go.mod", "go.sum", "infra", "scripts", "services"}
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		seen[top] = true
		if !strings.HasPrefix(top, ".") && !slices.Contains(want, top) {
			t.Errorf("%s at the top: everything has its place in %v", top, want)
		}
	}
	for _, name := range want {
		if !seen[name] {
			t.Errorf("%s is missing at the top", name)
		}
	}
}

var root = filepath.Join("..", "..")

func files(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && p != root || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		f := file{path: filepath.ToSlash(rel), test: strings.HasSuffix(p, "_test.go"), syntax: syntax}
		for _, spec := range syntax.Imports {
			pkg, _ := strconv.Unquote(spec.Path.Value)
			f.imports = append(f.imports, pkg)
		}
		all = append(all, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: the test looks in the wrong place", len(all))
	}
	return all
}

func imports(f file, pkg string) bool { return slices.Contains(f.imports, pkg) }

// calls reports whether f uses pkg.name, for a package imported under its own name.
func calls(f file, pkg, name string) bool {
	found := false
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				found = true
			}
		}
		return !found
	})
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
