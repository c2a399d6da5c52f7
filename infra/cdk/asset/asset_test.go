package asset

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }

// checkout is the root of ours.
var checkout = filepath.Join("..", "..", "..")

// one is the function that the tests build which need only one: the smallest.
var one = []string{"authorize"}

// source copies what the services are built from.
func source(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, folder := range []string{"contracts", "services"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// build returns the zip of one function of a checkout.
func build(t *testing.T, root string) []byte {
	t.Helper()
	set, err := workshop{root: root, arch: stacktest.Settings(t, nil).Architecture}.build(t.Context(), one, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(set.Program(one[0]))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// bootstrap is the one file of a function's zip.
func bootstrap(t *testing.T, archive []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 || !r.File[0].Modified.Equal(epoch) {
		t.Fatalf("the zip has %d files, the first %+v: want bootstrap, for all to execute, of %s", len(r.File), r.File[0].FileHeader, epoch)
	}
	f, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	program, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// static sees that a program needs nothing but the kernel, for a machine.
func static(t *testing.T, program []byte, want elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != want {
		t.Errorf("it is for %s, want %s", f.Machine, want)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("it wants a loader, and libraries that nobody brings")
	}
}

// Everything that a deployment compares is a sum of these bytes.
func TestBytesFollowFromTheSourceAlone(t *testing.T) {
	here := source(t, checkout)
	there := source(t, here)
	first := build(t, here)
	t.Setenv("GOFLAGS", "-gcflags=-N") // a user's own
	t.Setenv("GOARM64", "v9.0")
	if !bytes.Equal(first, build(t, there)) {
		t.Error("the same source in another folder gives other bytes")
	}
	if !bytes.Equal(first, build(t, here)) {
		t.Error("a second build gives other bytes")
	}

	program := bootstrap(t, first)
	static(t, program, elf.EM_AARCH64) // the default
	home, _ := os.UserHomeDir()
	ours, err := filepath.Abs(checkout)
	if err != nil {
		t.Fatal(err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(strings.Fields(string(goroot)), here, ours, home+string(filepath.Separator)) {
		if bytes.Contains(program, []byte(path)) {
			t.Errorf("%s is in the program", path)
		}
	}

	main := filepath.Join(there, "services", "cmd", one[0], "main.go")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte(`"authorize"`), []byte(`"authorise"`), 1)
	if err := os.WriteFile(main, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, build(t, there)) {
		t.Error("a change of the source changes nothing")
	}
	left(t, there, one[0]+".zip")
}

// left sees that nothing else is left where a checkout's assets are.
func left(t *testing.T, root string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(filepath.Join(root, "infra", "cdk", ".assets", stacktest.Settings(t, nil).Architecture))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v is left, want %v", got, want)
	}
}

func TestImageHasTheProgramAndNothingElse(t *testing.T) {
	root := source(t, checkout)
	for range 2 { // the second in place of the first
		set, err := workshop{root: root, arch: stacktest.Settings(t, nil).Architecture}.build(t.Context(), nil, one)
		if err != nil {
			t.Fatal(err)
		}
		modes := map[string]fs.FileMode{}
		err = fs.WalkDir(os.DirFS(set.Image(one[0])), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && !d.IsDir() {
				modes[path] = info.Mode()
				if !info.ModTime().Equal(epoch) {
					t.Errorf("%s is of %s", path, info.ModTime())
				}
			}
			return err
		})
		if err != nil || len(modes) != 2 || modes["Dockerfile"] != 0o644 || modes[one[0]] != 0o755 {
			t.Fatalf("the folder has %v, %v", modes, err)
		}
		program, err := os.ReadFile(filepath.Join(set.Image(one[0]), one[0]))
		if err != nil {
			t.Fatal(err)
		}
		static(t, program, elf.EM_AARCH64)
		recipe, err := os.ReadFile(filepath.Join(set.Image(one[0]), "Dockerfile"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"FROM scratch\n", "COPY authorize /authorize\n", "ENTRYPOINT [\"/authorize\"]\n", "USER 65534:65534\n"} {
			if !strings.Contains(string(recipe), line) {
				t.Errorf("the Dockerfile is\n%s\nwant %s", recipe, line)
			}
		}
	}
	left(t, root, one[0]+"-image")
}

// Whoever reads an image while others are built has all of its files, of one build or another, and none that is no image's.
func TestImagesArePlacedWhileOthersAre(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "fanout-image")
	build := func(name string) error {
		program, made := filepath.Join(dir, name), filepath.Join(dir, name+"-image")
		if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
			return err
		}
		return errors.Join(image(made, program, "fanout"), place(made, folder))
	}
	write(t, filepath.Join(folder, "older", "file"), "left by a build before")
	if err := build("first"); err != nil {
		t.Fatal(err)
	}
	var builds, reads sync.WaitGroup
	done := make(chan struct{})
	reads.Go(func() {
		for {
			for _, name := range []string{"fanout", "Dockerfile"} {
				if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || len(text) == 0 {
					t.Errorf("%s has %d bytes, %v", name, len(text), err)
					return
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for worker := range 4 {
		builds.Go(func() {
			for n := range 50 {
				if err := build(fmt.Sprint("made-", worker, "-", n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	builds.Wait()
	close(done)
	reads.Wait()
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 2 {
		t.Errorf("the folder has %v, %v", files, err)
	}
}

// What a topology runs as functions are programs, what it runs as workers images.
func TestCommandsFollowFromTheSettings(t *testing.T) {
	functions, workers := commands(stacktest.Settings(t, map[string]string{"shards": "8"}).Topology())
	if !slices.Contains(functions, "fanout") || len(workers) != 0 || !slices.Equal(functions, slices.Compact(slices.Clone(functions))) {
		t.Errorf("%v, %v", functions, workers)
	}
	functions, workers = commands(stacktest.Settings(t, map[string]string{"shards": "8", "fanout": setting.Fargate}).Topology())
	if slices.Contains(functions, "fanout") || !slices.Equal(workers, []string{"fanout"}) || !slices.Contains(functions, "normalizer") {
		t.Errorf("%v, %v", functions, workers)
	}
}

func TestFailuresAreTold(t *testing.T) {
	t.Run("no Go", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := Build(checkout, stacktest.Settings(t, nil)); err == nil || !strings.Contains(err.Error(), "install the release that go.mod names") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no checkout", func(t *testing.T) {
		root := t.TempDir()
		if _, err := Build(root, stacktest.Settings(t, nil)); err == nil || !strings.Contains(err.Error(), "go.mod") || !strings.Contains(err.Error(), root) {
			t.Errorf("%v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		root := t.TempDir()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := (workshop{root: root, arch: "arm64"}).build(ctx, one, nil); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("%v", err)
		}
		left(t, root)
	})
	t.Run("no program", func(t *testing.T) {
		root := t.TempDir()
		write(t, filepath.Join(root, "go.mod"), "module example.com/m\n\ngo 1.26\n")
		write(t, filepath.Join(root, "services", "cmd", one[0], "main.go"), "package main\n\nfunc main() {}\n")
		w := workshop{root: root, arch: "arm64"}
		if _, err := w.build(t.Context(), one, nil); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "services", "cmd", one[0], "main.go"), "package main\n\nfunc main() { nowhere() }\n")
		set, err := w.build(t.Context(), one, nil)
		if err == nil || !strings.Contains(err.Error(), "undefined: nowhere") || !strings.Contains(err.Error(), "linux/arm64") {
			t.Errorf("%v", err)
		}
		if len(set.programs) != 0 {
			t.Error("the program of before is given for the one that does not build")
		}
		left(t, root, one[0]+".zip")
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyDeploysWhatWasNotBuilt(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a path was given for it")
		}
	}()
	Set{}.Program("normalizer")
}
