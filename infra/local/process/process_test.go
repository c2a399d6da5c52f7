package process_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/infra/local/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output collects lines and lets a test wait for one.
type output struct {
	mu    sync.Mutex
	lines []string
	grew  chan struct{}
}

func newOutput() *output { return &output{grew: make(chan struct{}, 1)} }

func (o *output) add(line string) {
	o.mu.Lock()
	o.lines = append(o.lines, line)
	o.mu.Unlock()
	select {
	case o.grew <- struct{}{}:
	default:
	}
}

func (o *output) count(want string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, l := range o.lines {
		if strings.Contains(l, want) {
			n++
		}
	}
	return n
}

func (o *output) wait(t *testing.T, want string, times int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for o.count(want) < times {
		select {
		case <-o.grew:
		case <-deadline:
			t.Fatalf("line %q did not come %d times", want, times)
		}
	}
}

func start(t *testing.T, script string, spec process.Spec) (*process.Process, *output) {
	t.Helper()
	spec.Name, spec.Path, spec.Args, spec.Env = "child", "/bin/sh", []string{"-c", script}, []string{"PATH=/usr/bin:/bin"}
	out := newOutput()
	p, err := process.Start(spec, out.add, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background()) })
	return p, out
}

func TestKilledChildIsStartedAgain(t *testing.T) {
	t.Parallel()
	p, out := start(t, "echo up; exec sleep 60", process.Spec{Restart: true})
	out.wait(t, "up", 1)
	first := p.PID()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "up", 2)
	if p.PID() == first {
		t.Error("the process ID did not change")
	}
}

func TestChildThatAlwaysEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	p, _ := start(t, "exit 3", process.Spec{Restart: true})
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Err() = %v, want exit status 3", err)
	}
}

func TestChildThatMustNotEnd(t *testing.T) {
	t.Parallel()
	p, _ := start(t, "exit 1", process.Spec{})
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("Err() = %v", err)
	}
}

func TestStopTwiceIsGentleFirst(t *testing.T) {
	t.Parallel()
	p, out := start(t, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done", process.Spec{Restart: true, Grace: 10 * time.Second})
	out.wait(t, "up", 1)
	p.Stop(t.Context())
	p.Stop(t.Context())
	out.wait(t, "bye", 1)
	if err := p.Err(); err != nil {
		t.Errorf("Err() = %v after Stop", err)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	t.Parallel()
	p, out := start(t, "trap '' TERM; echo up; while :; do sleep 0.01; done", process.Spec{Grace: 50 * time.Millisecond})
	out.wait(t, "up", 1)
	p.Stop(t.Context())
}

func TestStopEndsAFrozenChild(t *testing.T) {
	t.Parallel()
	p, out := start(t, "echo up; exec sleep 60", process.Spec{Grace: 50 * time.Millisecond})
	out.wait(t, "up", 1)
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Stop(t.Context())
}

func TestLongLinesAreClipped(t *testing.T) {
	t.Parallel()
	_, out := start(t, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo after; exec sleep 60", process.Spec{})
	out.wait(t, "after", 1)
	if got := out.count("x"); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
}

func TestUnknownProgram(t *testing.T) {
	t.Parallel()
	_, err := process.Start(process.Spec{Name: "ghost", Path: "/no/such/program"}, func(string) {}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "start ghost") {
		t.Errorf("Start() = %v", err)
	}
}
