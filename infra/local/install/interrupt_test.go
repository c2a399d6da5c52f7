package install_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/local/install"
)

// stubbornNPM heeds no SIGTERM and has a child that holds its output open, as npm's own children
// may.
const stubbornNPM = `
trap '' TERM
sleep 600 &
echo "$$ $!" > pids.new
mv pids.new pids
wait
wait`

const installerTree = "INSTALL_TEST_TREE"

func TestMain(m *testing.M) {
	if root := os.Getenv(installerTree); root != "" {
		_ = install.Tree{Root: root, Say: func(string, ...any) {}}.Servers(context.Background())
		return
	}
	os.Exit(m.Run())
}

func TestInterruptedInstallLeavesNothingRunning(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": stubbornNPM})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- tree.Servers(ctx) }()
	pids := started(t, tree)
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an interrupted install succeeded")
		}
	case <-time.After(20 * time.Second):
		t.Error("the install does not end")
	}
	gone(t, pids)
}

// Without this the next install would work in the same folder as one that nobody waits for.
func TestInstallDiesWithItsParent(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": "echo $$ > pids.new; mv pids.new pids; exec sleep 600"})
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), installerTree+"="+tree.Root)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pids := started(t, tree)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	gone(t, pids)
}

// started waits until the fake npm has said which processes it runs.
func started(t *testing.T, tree install.Tree) (pids []int) {
	t.Helper()
	eventually(t, "npm to start", func() bool {
		b, err := os.ReadFile(filepath.Join(tree.Root, "infra", "local", "pids"))
		for _, field := range strings.Fields(string(b)) {
			pid, _ := strconv.Atoi(field)
			pids = append(pids, pid)
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		}
		return err == nil
	})
	return pids
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, "process "+strconv.Itoa(pid)+" to end", func() bool {
			stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
			_, state, _ := strings.Cut(string(stat), ") ")
			return err != nil || strings.HasPrefix(state, "Z") // nobody may reap orphans here
		})
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Another process may install for minutes: whoever waits for it is told, and may give up.
func TestWaitForAnotherInstallIsToldAndEndsWithTheContext(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": "mkdir -p node_modules"})
	local := filepath.Join(tree.Root, ".local")
	if err := os.MkdirAll(local, 0o755); err != nil {
		t.Fatal(err)
	}
	other, err := os.Create(filepath.Join(local, "infra-local.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 10)
	tree.Say = func(format string, _ ...any) { said <- format }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- tree.Servers(ctx) }()
	select {
	case line := <-said:
		if !strings.Contains(line, "wait") {
			t.Errorf("it says %q", line)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits in silence")
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Servers() = %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
		_ = other.Close()
		<-ended
	}
}

// An install that was cut off half-way has left the packages of neither lock file.
func TestFailedInstallVoidsTheOneBefore(t *testing.T) {
	tree := checkout(t, map[string]string{
		"node": "echo v24.0.0",
		"npm":  "mkdir -p node_modules; grep -q bad package-lock.json && exit 7; echo x >> runs",
	})
	local := filepath.Join(tree.Root, "infra", "local")
	for _, step := range []struct {
		lock string
		runs int
		ok   bool
	}{{"good", 1, true}, {"bad", 1, false}, {"good", 2, true}, {"good", 2, true}} {
		if err := os.WriteFile(filepath.Join(local, "package-lock.json"), []byte(step.lock), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tree.Servers(t.Context()); (err == nil) != step.ok {
			t.Fatalf("with a %s lock file Servers() = %v", step.lock, err)
		}
		if b, _ := os.ReadFile(filepath.Join(local, "runs")); strings.Count(string(b), "x") != step.runs {
			t.Fatalf("with a %s lock file npm has run %d times, want %d", step.lock, strings.Count(string(b), "x"), step.runs)
		}
	}
}

// A NODE_ENV=production or omit=optional of the user's own would leave out Vite or the servers.
func TestInstallIsCompleteWhateverTheUsersSettings(t *testing.T) {
	tree := checkout(t, map[string]string{"node": "echo v24.0.0", "npm": `mkdir -p node_modules; echo "$@" > arguments`})
	if err := tree.Servers(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(tree.Root, "infra", "local", "arguments"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--include=dev", "--include=optional", "--ignore-scripts"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("npm is run as %s, want %s", b, want)
		}
	}
}
