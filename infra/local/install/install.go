// Package install brings what a checkout needs: to run the system on one machine, the local servers
// and the dashboard's packages from npm, the binaries of the services, and the built dashboard; to
// deploy it, the CDK. Each step does nothing when its inputs have not changed since it last succeeded.
package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/local/process"
)

// The least Node that fauxqs and the dashboard's tools run on, and the least that can install
// the pinned one.
const (
	leastNode      = 22
	leastBootstrap = 20

	// stopGrace is from SIGTERM to SIGKILL for a step that is interrupted. npm heeds no SIGTERM; what
	// it leaves is installed anew the next time.
	stopGrace = 2 * time.Second
)

// Tree is a checkout of the repository.
type Tree struct {
	Root string
	Say  func(format string, args ...any) // tells the user what takes time
}

// Servers installs dynoxide, fauxqs and the pinned Node.
func (t Tree) Servers(ctx context.Context) error {
	return t.packages(ctx, filepath.Join("infra", "local"), "the local servers")
}

// Cloud installs the command line of the CDK, and what validates its templates.
func (t Tree) Cloud(ctx context.Context) error {
	return t.packages(ctx, filepath.Join("infra", "cdk"), "the CDK")
}

// Bin is where [Tree.Programs] puts what it builds.
func (t Tree) Bin() string { return filepath.Join(t.Root, ".local", "bin") }

// BuildFlags build the services, here and for AWS: without the RPC mode of old Lambda runtimes, and without a path or a
// revision of the checkout. So the compiler's cache serves all checkouts, and both kinds of build.
var BuildFlags = []string{"-tags", "lambda.norpc", "-trimpath", "-buildvcs=false"}

// Programs builds the services and the simulator, each named for its folder: static, as AWS runs
// them, but for this machine.
func (t Tree) Programs(ctx context.Context) error {
	unlock, err := t.lock(ctx, "bin")
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(t.Bin(), 0o755); err != nil {
		return err
	}
	args := slices.Concat([]string{"build"}, BuildFlags,
		[]string{"-o", t.Bin() + string(filepath.Separator), "./services/cmd/...", "./scripts/simulate"})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = t.Root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	return run(cmd, "go build")
}

// Dashboard installs the dashboard's packages and builds it into frontend/dist, on the Node that
// [Tree.Servers] has installed before.
func (t Tree) Dashboard(ctx context.Context) error {
	if err := t.packages(ctx, "frontend", "the dashboard's packages"); err != nil {
		return err
	}
	unlock, err := t.lock(ctx, "dist")
	if err != nil {
		return err
	}
	defer unlock()
	sum, err := digest(t.Root,
		"frontend/src", "frontend/index.html", "frontend/public", "frontend/package-lock.json",
		"frontend/vite.config.ts", "frontend/tsconfig.json", "contracts/ts")
	if err != nil {
		return err
	}
	return once(filepath.Join(t.Root, "frontend", "dist", ".built"), sum, func() error {
		t.Say("building the dashboard")
		node, err := t.Node(ctx)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, node, filepath.Join("node_modules", "vite", "bin", "vite.js"), "build", "--logLevel", "warn")
		cmd.Dir, cmd.Env = filepath.Join(t.Root, "frontend"), t.nodeEnv()
		return run(cmd, "vite build")
	})
}

// packages runs npm ci in folder. Install scripts stay off: nothing that we use needs one. What is
// included does not depend on the user's NODE_ENV and npm settings.
func (t Tree) packages(ctx context.Context, folder, what string) error {
	unlock, err := t.lock(ctx, strings.ReplaceAll(folder, string(filepath.Separator), "-"))
	if err != nil {
		return err
	}
	defer unlock()
	dir := filepath.Join(t.Root, folder)
	sum, err := digest(dir, "package-lock.json")
	if err != nil {
		return err
	}
	return once(filepath.Join(dir, "node_modules", ".installed"), sum, func() error {
		if err := t.checkNPM(ctx); err != nil {
			return err
		}
		t.Say("installing %s (npm ci in %s, the first time a minute or so)", what, folder)
		cmd := exec.CommandContext(ctx, "npm", "ci", "--include=dev", "--include=optional",
			"--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir, cmd.Env = dir, t.nodeEnv()
		return run(cmd, "npm ci in "+folder)
	})
}

func (t Tree) checkNPM(ctx context.Context) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("npm is not on PATH: install Node.js %d or newer, which brings it, and start again", leastBootstrap)
	}
	major, err := nodeMajor(ctx, "node")
	if err != nil || major < leastBootstrap {
		return fmt.Errorf("node on PATH is %s: install Node.js %d or newer and start again", versionOr(major, "missing"), leastBootstrap)
	}
	return nil
}

// Node is the path of the Node.js to run: the pinned one where npm has it for this platform, else
// the one on PATH if it is new enough.
func (t Tree) Node(ctx context.Context) (string, error) {
	if pinned := t.pinnedNode(); pinned != "" {
		return pinned, nil
	}
	path, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("node is not on PATH: install Node.js %d or newer and start again", leastNode)
	}
	major, err := nodeMajor(ctx, path)
	if err != nil || major < leastNode {
		return "", fmt.Errorf("node on PATH is %s: this platform needs Node.js %d or newer, install it and start again", versionOr(major, "broken"), leastNode)
	}
	return path, nil
}

func (t Tree) pinnedNode() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	path := filepath.Join(t.Root, "infra", "local", "node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// nodeEnv is our environment with the pinned Node first on PATH.
func (t Tree) nodeEnv() []string {
	env := os.Environ()
	if pinned := t.pinnedNode(); pinned != "" {
		env = append(env, "PATH="+filepath.Dir(pinned)+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return env
}

// Dynoxide is the path of the DynamoDB engine: from PATH, else from npm.
func (t Tree) Dynoxide() (string, error) {
	if path, err := exec.LookPath("dynoxide"); err == nil {
		return path, nil
	}
	path := filepath.Join(t.Root, "infra", "local", "node_modules", "@dynoxide", "linux-x64", "dynoxide")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no DynamoDB engine for %s/%s: put dynoxide on PATH, or start DynamoDB Local and name it in AWS_ENDPOINT_URL_DYNAMODB", runtime.GOOS, runtime.GOARCH)
	}
	return path, nil
}

// lock serialises the installation of one thing in a checkout, across processes. It ends waiting
// with ctx.
func (t Tree) lock(ctx context.Context, what string) (unlock func(), err error) {
	dir := filepath.Join(t.Root, ".local")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, what+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		if !told {
			told = true
			t.Say("waiting for another scripts/up that installs or builds the same")
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		}
	}
}

// once runs step unless the file stamp holds sum, and then writes it there. A step that fails or is
// cut off leaves no stamp, since it may have spoilt what the one before made.
func once(stamp, sum string, step func() error) error {
	if got, err := os.ReadFile(stamp); err == nil && string(got) == sum {
		return nil
	}
	if err := os.Remove(stamp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := step(); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(sum), 0o644)
}

// digest sums the names and contents of the files below paths, which may be missing.
func digest(root string, paths ...string) (string, error) {
	h := sha256.New()
	for _, p := range paths {
		err := filepath.WalkDir(filepath.Join(root, p), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(rel), len(b))
			h.Write(b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

var nodeVersion = regexp.MustCompile(`^v(\d+)\.`)

func nodeMajor(ctx context.Context, path string) (int, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, err
	}
	m := nodeVersion.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s --version says %q", path, out)
	}
	return strconv.Atoi(string(m[1]))
}

func versionOr(major int, missing string) string {
	if major == 0 {
		return missing
	}
	return "version " + strconv.Itoa(major)
}

// run runs cmd and, when it fails, puts the end of what it printed into the error. Nothing that cmd
// started is left when run returns. On ctrl-C it gets a moment to clean up.
func run(cmd *exec.Cmd, what string) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process.Isolate(cmd)
	group := func(s syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, s) }
	cmd.Cancel = func() error { return group(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if cmd.Process != nil {
		_ = group(syscall.SIGKILL) // most often there is nobody left
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // it succeeded, and left a child behind
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) > 20 {
			lines = lines[len(lines)-20:]
		}
		return fmt.Errorf("%s failed: %w\n%s", what, err, strings.Join(lines, "\n"))
	}
	return nil
}
