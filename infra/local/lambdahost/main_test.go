package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var fnBinary string

func TestMain(m *testing.M) {
	if os.Getenv("LAMBDAHOST_TEST_HOST") != "" {
		hostUntilKilled()
		return
	}
	dir, err := os.MkdirTemp("", "lambdahost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fnBinary = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", fnBinary, "./testdata/fn")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the test function: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// hostUntilKilled is a host in a process of its own, for the test that kills it. It prints the pid of a frozen sandbox.
func hostUntilKilled() {
	h, err := New(Config{Functions: []Function{{Name: "fn", Binary: os.Getenv("LAMBDAHOST_TEST_HOST")}}})
	if err != nil {
		panic(err)
	}
	if _, err := h.Invoke(context.Background(), "fn", []byte(`{"mode":"pid"}`)); err != nil {
		panic(err)
	}
	fmt.Println(h.Sandboxes()[0].PID)
	select {}
}

// newHost starts a host that the test's end closes, leaving no process.
func newHost(t *testing.T, functions ...Function) *Host {
	t.Helper()
	return newHostWith(t, Config{Functions: functions})
}

func newHostWith(t *testing.T, config Config) *Host {
	t.Helper()
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range config.Functions {
		if config.Functions[i].Binary == "" {
			config.Functions[i].Binary = fnBinary
		}
		if config.Functions[i].Timeout == 0 {
			config.Functions[i].Timeout = 20 * time.Second // long: the machine may be busy
		}
	}
	h, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if left := h.Sandboxes(); len(left) != 0 {
			t.Errorf("sandboxes after Close: %v", left)
		}
	})
	return h
}

// newWorkingHost also tells when a handler of mode sleep has begun.
func newWorkingHost(t *testing.T, functions ...Function) (*Host, <-chan struct{}) {
	t.Helper()
	working := make(chan struct{}, 100)
	return newHostWith(t, Config{Functions: functions, Logs: func(_, line string) {
		if line == "working" {
			working <- struct{}{}
		}
	}}), working
}

func invoke(t *testing.T, h *Host, name, payload string) Result {
	t.Helper()
	result, err := h.Invoke(t.Context(), name, []byte(payload))
	if err != nil {
		t.Fatalf("Invoke(%s): %v", payload, err)
	}
	if result.Version != "$LATEST" || result.RequestID == "" {
		t.Errorf("Invoke(%s): version %q, request %q", payload, result.Version, result.RequestID)
	}
	return result
}

// succeed invokes and decodes the response.
func succeed[T any](t *testing.T, h *Host, name, payload string) T {
	t.Helper()
	result := invoke(t, h, name, payload)
	if result.FunctionError != "" {
		t.Fatalf("Invoke(%s): %s %s", payload, result.FunctionError, result.Payload)
	}
	var v T
	decode(t, result.Payload, &v)
	return v
}

func decode(t *testing.T, payload []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(payload, v); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
}

type errorDocument struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// fail invokes and decodes the error document.
func fail(t *testing.T, h *Host, name, payload string) (errorDocument, Result) {
	t.Helper()
	result := invoke(t, h, name, payload)
	if result.FunctionError != "Unhandled" {
		t.Fatalf("Invoke(%s): function error %q, payload %.200s", payload, result.FunctionError, result.Payload)
	}
	var doc errorDocument
	decode(t, result.Payload, &doc)
	return doc, result
}

// eventually polls for what only the operating system can tell.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("never "+what))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
}
