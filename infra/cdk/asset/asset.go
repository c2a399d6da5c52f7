// Package asset builds what the functions and the containers of a deployment run, from the source of the checkout. The
// same source gives the same bytes, whatever the folder and the machine, as long as Go is the same: so a deployment
// changes what has changed, and nothing else.
package asset

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/topology"
)

const (
	// linking leaves out what only a debugger reads, and the build's id, which the go command makes of its own release.
	linking = "-s -w -buildid="

	// stopGrace is from SIGINT to SIGKILL for a build that is interrupted.
	stopGrace = 5 * time.Second
)

// goarch is what Go calls the architectures of the settings.
var goarch = map[string]string{"arm64": "arm64", "x86_64": "amd64"}

// epoch is the time of all files, the first that a zip knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Set is what was built, by the name of the command.
type Set struct{ programs, images map[string]string }

// Program is the path of a zip with one file, bootstrap: a command as Lambda runs it. It panics if the command is of no
// function.
func (s Set) Program(command string) string { return find(s.programs, command) }

// Image is the path of a folder with a command and a Dockerfile, whose image has nothing else in it. It panics if the
// command is of no worker.
func (s Set) Image(command string) string { return find(s.images, command) }

func find(paths map[string]string, command string) string {
	if paths[command] == "" {
		panic("asset: " + command + " was not built") // an empty path would be this folder, and all of it be deployed
	}
	return paths[command]
}

// Build builds every command that the settings' topology needs, from services/cmd in the checkout at root, for Linux and
// the settings' architecture, into infra/cdk/.assets there. It tells on stderr what it does, which takes minutes the first
// time, and then as long as linking. The compiler's cache is all that it trusts: what a build before left is made anew. It
// may run several times at once. SIGINT and SIGTERM end it, with an error.
func Build(root string, s setting.Settings) (Set, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := filepath.Abs(root)
	if err != nil {
		return Set{}, err
	}
	functions, workers := commands(s.Topology())
	return workshop{root: root, arch: s.Architecture}.build(ctx, functions, workers)
}

// commands are those of the functions and of the workers.
func commands(system topology.Topology) (functions, workers []string) {
	for _, f := range system.Functions {
		functions = append(functions, f.Command)
	}
	for _, w := range system.Workers {
		workers = append(workers, w.Command)
	}
	slices.Sort(functions)
	slices.Sort(workers)
	return slices.Compact(functions), slices.Compact(workers)
}

// workshop builds for one architecture in one checkout.
type workshop struct{ root, arch string }

func (w workshop) build(ctx context.Context, functions, workers []string) (Set, error) {
	began, all := time.Now(), slices.Concat(functions, workers)
	fmt.Fprintf(os.Stderr, "cdk: building %d programs for linux/%s, which takes a minute or two the first time …\n", len(all), goarch[w.arch])
	dir := filepath.Join(w.root, "infra", "cdk", ".assets", w.arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Set{}, err
	}
	// Each file in dir is whole at any time: it is made beside it and then renamed.
	bench, err := os.MkdirTemp(dir, "making-")
	if err != nil {
		return Set{}, err
	}
	defer os.RemoveAll(bench)
	if err := w.compile(ctx, bench, all); err != nil {
		return Set{}, err
	}
	set := Set{programs: map[string]string{}, images: map[string]string{}}
	for _, c := range functions {
		made := filepath.Join(bench, c+".zip")
		if err := pack(made, filepath.Join(bench, c)); err != nil {
			return Set{}, fmt.Errorf("zip of %s: %w", c, err)
		}
		set.programs[c] = filepath.Join(dir, c+".zip")
		if err := os.Rename(made, set.programs[c]); err != nil {
			return Set{}, err
		}
	}
	for _, c := range workers {
		made := filepath.Join(bench, c+"-image")
		if err := image(made, filepath.Join(bench, c), c); err != nil {
			return Set{}, fmt.Errorf("image of %s: %w", c, err)
		}
		set.images[c] = filepath.Join(dir, c+"-image")
		if err := place(made, set.images[c]); err != nil {
			return Set{}, err
		}
	}
	fmt.Fprintf(os.Stderr, "cdk: built in %.1f s\n", time.Since(began).Seconds())
	return set, nil
}

// place moves the files of a folder into another, each in place of what a build before has left there, and removes what
// else is in it. A folder cannot be put in place of another at once: whoever reads it meanwhile would miss its files.
func place(made, folder string) error {
	files, err := os.ReadDir(made)
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, f := range files {
		if err := os.Rename(filepath.Join(made, f.Name()), filepath.Join(folder, f.Name())); err != nil {
			return err
		}
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, other := range there {
		if slices.ContainsFunc(files, func(f os.DirEntry) bool { return f.Name() == other.Name() }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, other.Name())); err != nil {
			return err
		}
	}
	return os.Chmod(folder, 0o755) // whatever the user's mask
}

// compile puts the programs into dir, each under the name of its command. One go command builds all of them, as many at a
// time as there are processors.
func (w workshop) compile(ctx context.Context, dir string, commands []string) error {
	args := slices.Concat([]string{"build"}, install.BuildFlags, []string{"-ldflags", linking, "-o", dir + string(filepath.Separator)})
	for _, c := range commands {
		args = append(args, "./services/cmd/"+c)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = w.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch[w.arch],
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off", "GOFLAGS=-mod=readonly") // whatever the user's shell builds with
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it removes what it has begun
	cmd.WaitDelay = stopGrace
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("go is not on PATH: install the release that go.mod names, or a newer one, from https://go.dev/dl")
	case ctx.Err() != nil:
		return errors.New("interrupted while building; nothing is left of it")
	case err != nil:
		return fmt.Errorf("go build for linux/%s in %s failed: %w\n%s", goarch[w.arch], w.root, err, end(out))
	}
	return nil
}

// end is the last lines of an output, where the reason stands.
func end(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// pack makes a zip of a program, as provided runtimes want it.
func pack(path, program string) (err error) {
	in, err := os.Open(program)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	archive := zip.NewWriter(out)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: epoch}
	header.SetMode(0o755)
	file, err := archive.CreateHeader(header)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, in); err != nil {
		return err
	}
	return archive.Close()
}

// dockerfile has an image of the program alone. It runs as nobody: its system has no users.
const dockerfile = `FROM scratch
COPY %[1]s /%[1]s
USER 65534:65534
ENTRYPOINT ["/%[1]s"]
`

// image makes a folder of a program, which it moves, and its Dockerfile.
func image(dir, program, command string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	binary, recipe := filepath.Join(dir, command), filepath.Join(dir, "Dockerfile")
	return errors.Join(
		os.Rename(program, binary),
		os.WriteFile(recipe, fmt.Appendf(nil, dockerfile, command), 0o644),
		os.Chmod(binary, 0o755), os.Chtimes(binary, epoch, epoch),
		os.Chmod(recipe, 0o644), os.Chtimes(recipe, epoch, epoch), // whatever the user's mask
	)
}
