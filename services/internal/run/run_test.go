package run_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/iops-dashboard/live/services/internal/run"
)

// TestMain lets the test binary stand in for a main: the child mode names how it ends.
func TestMain(m *testing.M) {
	switch os.Getenv("RUN_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "waits":
		run.Main("child", func(ctx context.Context, log *slog.Logger) error {
			fmt.Println("waiting")
			<-ctx.Done()
			return context.Cause(ctx)
		})
	case "fails":
		run.Main("child", func(context.Context, *slog.Logger) error { return errors.New("no table") })
	case "unwired":
		run.Wired("child", func(context.Context, *slog.Logger) (int, error) { return 0, errors.New("no table") })
		fmt.Println("it goes on")
	case "wired":
		n := run.Wired("child", func(_ context.Context, log *slog.Logger) (int, error) {
			log.Info("made")
			return 7, nil
		})
		fmt.Println(n)
	case "ignores":
		run.Main("child", func(context.Context, *slog.Logger) error {
			fmt.Println("waiting")
			select {}
		})
	}
}

func child(t *testing.T, mode string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RUN_TEST_CHILD="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func TestSignalEndsCleanly(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, out := child(t, "waits")
		out.Scan()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for out.Scan() {
			log.WriteString(out.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v, want exit code 0", s, err)
		}
		if !strings.Contains(log.String(), `"msg":"stopping"`) || strings.Contains(log.String(), "ERROR") {
			t.Errorf("%s: the log is %s", s, log.String())
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "ignores")
	out.Scan()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	out.Scan() // it said that it is stopping
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil {
		t.Error("it ended as if all were well")
	}
}

func TestFailureIsLoggedAndExitsWithOne(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"fails", "unwired"} {
		cmd, out := child(t, mode)
		out.Scan()
		line := out.Text()
		if out.Scan() {
			t.Errorf("%s: it says more: %s", mode, out.Text())
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: Wait() = %v, want exit code 1", mode, err)
		}
		if !strings.Contains(line, "no table") || !strings.Contains(line, `"service":"child"`) {
			t.Errorf("%s: the log is %s", mode, line)
		}
	}
}

func TestWired(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "wired")
	out.Scan()
	line := out.Text()
	if out.Scan(); out.Text() != "7" || !strings.Contains(line, `"service":"child"`) || !strings.Contains(line, `"msg":"made"`) {
		t.Errorf("%s, %s", line, out.Text())
	}
	_ = cmd.Wait() // the child's own tests
}

func TestTogetherEndsTogether(t *testing.T) {
	t.Parallel()
	fails := errors.New("fails")
	waits := func(ctx context.Context) error { <-ctx.Done(); return nil }
	for name, tc := range map[string]struct {
		first func(context.Context) error
		want  error
	}{
		"one fails":   {func(context.Context) error { return fails }, fails},
		"one is done": {func(context.Context) error { return nil }, nil},
	} {
		if err := run.Together(t.Context(), tc.first, waits, waits); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run.Together(ctx, waits, waits); err != nil {
		t.Errorf("stopped: %v", err)
	}
}
