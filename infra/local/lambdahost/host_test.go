package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestNewReportsEveryFault(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Functions: []Function{
		{Name: "a b", Binary: fnBinary},
		{Name: "missing", Binary: filepath.Join(t.TempDir(), "none")},
		{Name: "plain", Binary: notExecutable},
		{Name: "env", Binary: fnBinary, Environment: []string{"A=1", "secret-without-a-key"}},
		{Name: "negative", Binary: fnBinary, Timeout: -1},
		{Name: "twice", Binary: fnBinary},
		{Name: "twice", Binary: fnBinary},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"a b"`, `"missing": binary`, "not executable", "entry 1 is not KEY=VALUE", `"negative"`, "configured twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not mention %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%v: shows an environment entry", err)
	}
}

func TestInvokeRefusals(t *testing.T) {
	h := newHost(t, Function{Name: "fn"})
	if _, err := h.Invoke(t.Context(), "other", nil); !errors.Is(err, ErrUnknownFunction) {
		t.Errorf("unknown function: %v", err)
	}
	if _, err := h.Invoke(t.Context(), "fn", make([]byte, MaxPayload+1)); !errors.Is(err, ErrPayloadTooLarge) {
		t.Errorf("payload of 6 MB and a byte: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Invoke(ctx, "fn", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if n := len(h.Sandboxes()); n != 0 {
		t.Errorf("%d sandboxes for nothing", n)
	}
}

func TestTimeoutKillsAndReplaces(t *testing.T) {
	h := newHost(t, Function{Name: "fn", Timeout: 2 * time.Second})
	before := succeed[int](t, h, "fn", `{"mode":"pid"}`)
	began := time.Now()
	doc, result := fail(t, h, "fn", `{"mode":"sleep","wait":"1h"}`)
	if want := result.RequestID + " Task timed out after 2.00 seconds"; doc.Message != want || doc.Type != "" {
		t.Errorf("got %+v, want message %q alone", doc, want)
	}
	if took := time.Since(began); took < 2*time.Second || took > 6*time.Second {
		t.Errorf("timed out after %v", took)
	}
	if left := h.Sandboxes(); len(left) != 0 {
		t.Errorf("not reaped when Invoke returned: %v", left)
	}
	if after := succeed[int](t, h, "fn", `{"mode":"pid"}`); after == before {
		t.Error("the sandbox that timed out was used again")
	}
}

func TestFunctionThatDies(t *testing.T) {
	h := newHost(t, Function{Name: "fn"})
	for _, test := range []struct{ mode, kind, message string }{
		{"exit", "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 3"},
		{"leave", "Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason"},
		{"panic", "string", "it went wrong"}, // posted by the runtime, which then exits
	} {
		t.Run(test.mode, func(t *testing.T) {
			for range 10 { // a dying sandbox handed out once would show here
				doc, result := fail(t, h, "fn", `{"mode":"`+test.mode+`"}`)
				want := test.message
				if strings.Contains(want, "%s") {
					want = fmt.Sprintf(want, result.RequestID)
				}
				if doc.Type != test.kind || doc.Message != want {
					t.Fatalf("got %+v, want %s %q", doc, test.kind, want)
				}
				if left := h.Sandboxes(); len(left) != 0 {
					t.Fatalf("not reaped when Invoke returned: %v", left)
				}
			}
		})
	}
}

func TestReturnedErrorKeepsTheSandbox(t *testing.T) {
	h := newHost(t, Function{Name: "fn"})
	before := succeed[int](t, h, "fn", `{"mode":"pid"}`)
	doc, _ := fail(t, h, "fn", `{"mode":"error"}`)
	if doc.Type != "errorString" || doc.Message != "it did not work" {
		t.Errorf("got %+v", doc)
	}
	if after := succeed[int](t, h, "fn", `{"mode":"pid"}`); after != before {
		t.Error("a new sandbox for a returned error")
	}
}

func TestResponseTooLarge(t *testing.T) {
	h := newHost(t, Function{Name: "fn"})
	fits := invoke(t, h, "fn", fmt.Sprintf(`{"mode":"big","size":%d}`, maxResponse-2))
	if fits.FunctionError != "" || len(fits.Payload) != maxResponse {
		t.Errorf("largest response: %q, %d bytes", fits.FunctionError, len(fits.Payload))
	}
	doc, _ := fail(t, h, "fn", fmt.Sprintf(`{"mode":"big","size":%d}`, maxResponse-1))
	if doc.Type != "Function.ResponseSizeTooLarge" || doc.Message != "Response payload size exceeded maximum allowed payload size (6291556 bytes)." {
		t.Errorf("got %+v", doc)
	}
	succeed[int](t, h, "fn", `{"mode":"pid"}`)
}

func TestInitialisationThatFails(t *testing.T) {
	for _, test := range []struct {
		mode          string
		kind, message string
	}{
		{"exit", "Runtime.ExitError", "Runtime exited with error: exit status 4"},
		{"error", "Extension.Bad", "no configuration"},
		{"error in text", "Extension.Worse", "initialisation failed"},
		{"hang", "", "Task timed out after 0.50 seconds"},
		{"leave", "Runtime.ExitError", "Runtime exited with error: exit status 5"},
	} {
		t.Run(test.mode, func(t *testing.T) {
			h := newHost(t, Function{Name: "fn", Environment: initialising(test.mode), InitTimeout: 300 * time.Millisecond, Timeout: 20 * time.Second})
			if test.mode == "hang" {
				h.functions["fn"].Timeout = 500 * time.Millisecond
			}
			doc, _ := fail(t, h, "fn", `{"mode":"pid"}`)
			if doc.Type != test.kind || !strings.Contains(doc.Message, test.message) {
				t.Errorf("got %+v", doc)
			}
			if left := h.Sandboxes(); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
		t.Run(test.mode+" once", func(t *testing.T) {
			once := filepath.Join(t.TempDir(), "once")
			h := newHost(t, Function{Name: "fn", Environment: append(initialising(test.mode), "FN_ONCE="+once), InitTimeout: 2 * time.Second})
			succeed[int](t, h, "fn", `{"mode":"pid"}`)
		})
	}
}

func initialising(mode string) []string {
	if mode == "error in text" {
		return []string{"FN_INIT=error", "FN_INIT_ERROR=not JSON"}
	}
	return []string{"FN_INIT=" + mode, `FN_INIT_ERROR={"errorType":"Extension.Bad","errorMessage":"no configuration"}`}
}

func TestRuntimeThatMisbehaves(t *testing.T) {
	h := newHost(t, Function{Name: "fn", Environment: []string{"FN_INIT=rogue"}})
	if got := succeed[[]int](t, h, "fn", `1`); !slices.Equal(got, []int{400, 400, 404}) {
		t.Errorf("answers for another invocation, and an unknown path: %v", got)
	}
	if got := succeed[[]int](t, h, "fn", `2`); !slices.Equal(got, []int{202, 403, 403, 403, 400, 400, 404}) {
		t.Errorf("second answers, and an initialisation error too late: %v", got)
	}
	if doc, _ := fail(t, h, "fn", `"break off"`); doc.Type != "ReadError" || doc.Message != "the disk is gone" {
		t.Errorf("a response that breaks off: %+v", doc)
	}
	if doc, _ := fail(t, h, "fn", `"forget"`); doc.Type != "Runtime.ExitError" {
		t.Errorf("no answer: %+v", doc)
	}
	if left := h.Sandboxes(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestFrozenBetweenInvocations(t *testing.T) {
	h := newHost(t, Function{Name: "ticker"}, Function{Name: "clock"})
	for range 3 {
		before := succeed[int64](t, h, "ticker", `{"mode":"tick"}`)
		succeed[string](t, h, "clock", `{"mode":"sleep","wait":"400ms"}`) // 400 ticks, if it were not frozen
		after := succeed[int64](t, h, "ticker", `{"mode":"tick"}`)
		if after-before > 100 {
			t.Errorf("a frozen sandbox ticked %d times in 400 ms", after-before)
		}
	}
	for _, s := range h.Sandboxes() {
		if s.State != Frozen {
			t.Errorf("%+v is not frozen", s)
		}
	}
}

func TestKilledWhileFrozen(t *testing.T) {
	h := newHost(t, Function{Name: "fn", Concurrency: 2})
	t.Run("noticed and reaped", func(t *testing.T) {
		pid := succeed[int](t, h, "fn", `{"mode":"pid"}`)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "reaped", func() bool { return len(h.Sandboxes()) == 0 })
		if after := succeed[int](t, h, "fn", `{"mode":"pid"}`); after == pid {
			t.Error("answered by a dead process")
		}
	})
	t.Run("invoked at once", func(t *testing.T) {
		for range 50 {
			pid := succeed[int](t, h, "fn", `{"mode":"pid"}`)
			// The signal that freezes it takes a moment. Killed before that, it may still read the event.
			eventually(t, "frozen", func() bool { return stopped(pid) })
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if after := succeed[int](t, h, "fn", `{"mode":"pid"}`); after == pid {
				t.Error("answered by a dead process")
			}
		}
	})
}

func TestKilledWhileBusyIsNotRetried(t *testing.T) {
	h, working := newWorkingHost(t, Function{Name: "fn"})
	pid := succeed[int](t, h, "fn", `{"mode":"pid"}`)
	var callers sync.WaitGroup
	callers.Go(func() {
		doc, _ := fail(t, h, "fn", `{"mode":"sleep","wait":"10s"}`)
		if doc.Type != "Runtime.ExitError" || !strings.HasSuffix(doc.Message, "signal: killed") {
			t.Errorf("got %+v", doc)
		}
	})
	<-working
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
}

func TestReusesTheMostRecent(t *testing.T) {
	h := newHost(t, Function{Name: "fn", Concurrency: 2})
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() { succeed[string](t, h, "fn", `{"mode":"sleep","wait":"300ms"}`) })
	}
	callers.Wait()
	if n := len(h.Sandboxes()); n != 2 {
		t.Fatalf("%d sandboxes", n)
	}
	first := succeed[int](t, h, "fn", `{"mode":"pid"}`)
	for range 5 {
		if again := succeed[int](t, h, "fn", `{"mode":"pid"}`); again != first {
			t.Errorf("pid %d, then %d", first, again)
		}
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	const callers, rounds = 8, 40
	h := newHost(t, Function{Name: "fn", Concurrency: 2})
	var (
		group             sync.WaitGroup
		mu                sync.Mutex
		served, throttled int
		pids              = map[string]bool{}
	)
	for range callers {
		group.Go(func() {
			for range rounds {
				result, err := h.Invoke(t.Context(), "fn", []byte(`{"mode":"pid"}`))
				mu.Lock()
				switch {
				case errors.Is(err, ErrThrottled):
					throttled++
				case err != nil || result.FunctionError != "":
					t.Errorf("%v %s", err, result.Payload)
				default:
					served++
					pids[string(result.Payload)] = true
				}
				mu.Unlock()
				if n := len(h.Sandboxes()); n > 2 {
					t.Errorf("%d sandboxes", n)
				}
			}
		})
	}
	group.Wait()
	if len(pids) != 2 {
		t.Errorf("served by processes %v", pids)
	}
	if served == 0 || throttled == 0 || served+throttled != callers*rounds {
		t.Errorf("served %d, throttled %d of %d", served, throttled, callers*rounds)
	}
	var throttling interface{ Throttled() bool }
	if !errors.As(ErrThrottled, &throttling) || !throttling.Throttled() {
		t.Error("ErrThrottled does not say so")
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("LAMBDAHOST_TEST_SECRET", "of the host")
	h := newHostWith(t, Config{
		Region: "eu-central-1", Account: "123456789012",
		Functions: []Function{{Name: "fn", MemoryMB: 256, Environment: []string{"STATE_TABLE=t", "AWS_ACCESS_KEY_ID=local", "AWS_LAMBDA_FUNCTION_NAME=lie"}}},
	})
	got := succeed[struct {
		Env []string
		WD  string
	}](t, h, "fn", `{"mode":"env"}`)
	task := filepath.Dir(fnBinary)
	for _, want := range []string{
		"TZ=:UTC", "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1", "AWS_LAMBDA_FUNCTION_NAME=fn", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/fn", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + task,
		"STATE_TABLE=t", "AWS_ACCESS_KEY_ID=local", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
	} {
		if !slices.Contains(got.Env, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, pair := range got.Env {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(key, "LAMBDAHOST"), key == "HOME", key == "AWS_LAMBDA_FUNCTION_NAME" && value == "lie":
			t.Errorf("%s reached the sandbox", pair)
		case key == "AWS_LAMBDA_RUNTIME_API" && (!strings.HasPrefix(value, "127.0.0.1:") || strings.Contains(value, "/")):
			t.Errorf("runtime API at %s", value)
		}
	}
	if got.WD != task {
		t.Errorf("working directory %s, want %s", got.WD, task)
	}
}

func TestContextOfAnInvocation(t *testing.T) {
	h := newHostWith(t, Config{Region: "eu-central-1", Account: "123456789012", Functions: []Function{{Name: "fn", Timeout: 20 * time.Second}}})
	result := invoke(t, h, "fn", `{"mode":"context"}`)
	var got struct {
		RequestID, ARN, Trace string
		Left                  float64
	}
	decode(t, result.Payload, &got)
	if got.RequestID != result.RequestID || got.ARN != "arn:aws:lambda:eu-central-1:123456789012:function:fn" {
		t.Errorf("got %+v for request %s", got, result.RequestID)
	}
	if !strings.HasPrefix(got.Trace, "Root=1-") || len(got.Trace) != len("Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0") {
		t.Errorf("trace %q", got.Trace)
	}
	if got.Left <= 0 || got.Left > 20 {
		t.Errorf("%v seconds left of 20", got.Left)
	}
}

func TestLogs(t *testing.T) {
	var mu sync.Mutex
	var got []string
	h := newHostWith(t, Config{Functions: []Function{{Name: "fn"}}, Logs: func(function, line string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, function+" "+line)
	}})
	fail(t, h, "fn", `{"mode":"log","text":"one\r\n\ntwo"}`)
	want := []string{"fn one", "fn ", "fn two", "fn no line end"}
	if mu.Lock(); !slices.Equal(got, want) { // complete when Invoke returns, as the process is reaped
		t.Errorf("got %q, want %q", got, want)
	}
	mu.Unlock()
}

func TestCallerThatHangsUp(t *testing.T) {
	h, working := newWorkingHost(t, Function{Name: "fn"})
	ctx, cancel := context.WithCancel(t.Context())
	pid := succeed[int](t, h, "fn", `{"mode":"pid"}`)
	var caller sync.WaitGroup
	caller.Go(func() {
		if _, err := h.Invoke(ctx, "fn", []byte(`{"mode":"sleep","wait":"1s"}`)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	<-working
	cancel()
	caller.Wait()
	if _, err := h.Invoke(t.Context(), "fn", []byte(`{"mode":"pid"}`)); !errors.Is(err, ErrThrottled) {
		t.Errorf("while the function runs on: %v", err)
	}
	eventually(t, "free", func() bool { return h.Sandboxes()[0].State == Frozen })
	eventually(t, "given back", func() bool {
		result, err := h.Invoke(t.Context(), "fn", []byte(`{"mode":"pid"}`))
		return err == nil && string(result.Payload) == fmt.Sprint(pid)
	})
}

func TestClose(t *testing.T) {
	h, working := newWorkingHost(t, Function{Name: "fn", Concurrency: 3}, Function{Name: "slow", Environment: []string{"FN_INIT=hang"}})
	child := succeed[int](t, h, "fn", `{"mode":"orphan"}`)
	var callers sync.WaitGroup
	for _, name := range []string{"fn", "slow"} {
		callers.Go(func() {
			if _, err := h.Invoke(t.Context(), name, []byte(`{"mode":"sleep","wait":"1h"}`)); !errors.Is(err, ErrClosed) {
				t.Errorf("%s under way: %v", name, err)
			}
		})
	}
	<-working
	eventually(t, "starting", func() bool {
		return slices.ContainsFunc(h.Sandboxes(), func(s Sandbox) bool { return s.Function == "slow" && s.State == Starting })
	})
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := h.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	callers.Wait()
	if _, err := h.Invoke(t.Context(), "fn", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	eventually(t, "rid of the function's child", func() bool { return gone(child) })
}

func TestCloseIsBoundedByItsContext(t *testing.T) {
	h := newHost(t, Function{Name: "fn"})
	h.work.Add(1) // work that does not end
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	h.work.Done()
}

func TestLinesAreBounded(t *testing.T) {
	var got []int
	l := &lines{emit: func(line string) { got = append(got, len(line)) }}
	for range 10 {
		if n, err := l.Write(make([]byte, 100<<10)); n != 100<<10 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = l.Write([]byte("\n"))
	l.flush()
	sum := 0
	for _, n := range got {
		sum += n
		if n > maxLine {
			t.Errorf("a line of %d bytes", n)
		}
	}
	if sum != 1000<<10 {
		t.Errorf("%d bytes came through: %v", sum, got)
	}
}

func BenchmarkInvoke(b *testing.B) {
	h, err := New(Config{Functions: []Function{{Name: "fn", Binary: fnBinary}}})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close(context.Background())
	payload := []byte(`{"mode":"pid"}`)
	for b.Loop() {
		if result, err := h.Invoke(b.Context(), "fn", payload); err != nil || result.FunctionError != "" {
			b.Fatal(err, string(result.Payload))
		}
	}
}
