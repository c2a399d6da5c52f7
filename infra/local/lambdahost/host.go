// Package lambdahost runs unmodified Lambda binaries on one machine.
//
// It serves the Lambda Runtime API to each sandbox (a process of the function's binary) on a loopback listener of
// the sandbox's own, keeps at most Concurrency sandboxes a function, and behaves at the edges as AWS does:
//
//   - a sandbox starts at the first invocation that finds none free (a cold start); the most recently used one is reused;
//   - between invocations, from the runtime's next call of `next` on, the whole process group is stopped (SIGSTOP), so
//     that work left in the background stands still, and it is continued (SIGCONT) before the next event is delivered;
//   - a function that overruns its timeout is killed and a fresh sandbox serves the next invocation;
//   - a sandbox gets no SIGTERM, ever: it is killed. That is what AWS does where no extension is registered;
//   - an initialisation that fails or overruns is repeated once, within the function's timeout.
//
// Not imitated: extensions and their API, response streaming, memory and CPU limits (MemoryMB is only told to the
// function), asynchronous retries, versions and aliases other than $LATEST.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and lambda-runtime-environment.html.
package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/iops-dashboard/live/infra/local/account"
)

// MaxPayload is the largest event a synchronous invocation takes, in bytes.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (6 MB).
const MaxPayload = 6 << 20

// maxResponse is the largest response a function may post, in bytes: AWS allows 6 MB and 100 bytes, and names this number in its error.
const maxResponse = MaxPayload + 100

// maxDeliveries bounds how often one event is tried on a sandbox that dies before it reads it.
const maxDeliveries = 3

// Version is the only version this host serves.
const Version = "$LATEST"

// Errors of Invoke. None of them is the function's own failure: that is a Result with FunctionError set.
var (
	// ErrUnknownFunction says that no function of that name was configured. Retrying does not help.
	ErrUnknownFunction = errors.New("lambdahost: function not found")
	// ErrThrottled says that all of the function's sandboxes are at work. The function did not run; try again later.
	ErrThrottled error = throttled{}
	// ErrPayloadTooLarge says that the event is over MaxPayload. Retrying does not help.
	ErrPayloadTooLarge = errors.New("lambdahost: payload is over 6 MB")
	// ErrClosed says that the host was closed before the function answered: it may have run.
	ErrClosed = errors.New("lambdahost: closed")
)

type throttled struct{}

func (throttled) Error() string { return "lambdahost: throttled: every sandbox is busy" }

// Throttled lets a caller that does not know this package tell this error from others.
func (throttled) Throttled() bool { return true }

// Function is one Lambda function.
type Function struct {
	Name   string // as in AWS: letters, digits, - and _
	Binary string // path of the executable that AWS would find as `bootstrap`

	// Environment holds KEY=VALUE pairs, credentials included. Nothing of the host's own environment is passed on.
	Environment []string

	Timeout     time.Duration // of one invocation. Defaults to 3 s.
	InitTimeout time.Duration // from process start to the first `next`. Defaults to 10 s.
	MemoryMB    int           // told to the function, not enforced. Defaults to 128.
	Concurrency int           // sandboxes at most. Defaults to 1.
}

func (f Function) withDefaults() Function {
	if f.Timeout == 0 {
		f.Timeout = 3 * time.Second
	}
	if f.InitTimeout == 0 {
		f.InitTimeout = 10 * time.Second
	}
	if f.MemoryMB == 0 {
		f.MemoryMB = 128
	}
	if f.Concurrency == 0 {
		f.Concurrency = 1
	}
	return f
}

func (f Function) validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("function %q: "+format, append([]any{f.Name}, args...)...))
	}
	if f.Name == "" || strings.ContainsFunc(f.Name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	}) {
		fault("a name has letters, digits, - and _ only")
	}
	if info, err := os.Stat(f.Binary); err != nil {
		fault("binary: %w", err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		fault("binary %s is not executable", f.Binary)
	}
	for i, pair := range f.Environment {
		if key, _, found := strings.Cut(pair, "="); !found || key == "" {
			fault("environment entry %d is not KEY=VALUE", i) // the entry may be a secret: not shown
		}
	}
	if f.Timeout < 0 || f.InitTimeout < 0 || f.MemoryMB < 0 || f.Concurrency < 0 {
		fault("timeouts, memory and concurrency are not negative")
	}
	return errors.Join(faults...)
}

// Config is what a Host is made of.
type Config struct {
	Functions []Function
	Region    string       // Defaults to us-east-1.
	Account   string       // twelve digits, for ARNs. Defaults to [account.ID].
	Logger    *slog.Logger // of the host's own doings. Defaults to none.

	// Logs receives each line that a function writes to stdout or stderr, without its line end; a line over 256 KiB
	// comes in pieces. It is called concurrently for different sandboxes and must not block for long: the function
	// waits for it when the pipe is full. Defaults to none.
	Logs func(function, line string)
}

// Host runs the functions. It is safe for concurrent use. Close it: it owns processes.
type Host struct {
	region, account string
	logger          *slog.Logger
	logs            func(function, line string)
	functions       map[string]*function
	starts          chan start    // to the thread that forks
	closing         chan struct{} // closed by Close
	work            sync.WaitGroup
	posted          chan struct{} // bounds the invocations of type Event that are under way

	mu        sync.Mutex
	closed    bool
	sandboxes map[*sandbox]struct{} // all that are not yet reaped
}

// function is a Function and who works for it. Its fields are guarded by Host.mu.
type function struct {
	Function
	idle  []*sandbox // frozen; the most recently used is the last
	taken int        // places held by invocations under way; taken + len(idle) ≤ Concurrency
}

// New checks the whole configuration, reporting every fault, and starts nothing but one goroutine: sandboxes start when invoked.
func New(config Config) (*Host, error) {
	h := &Host{
		region:    config.Region,
		account:   config.Account,
		logger:    config.Logger,
		logs:      config.Logs,
		functions: make(map[string]*function, len(config.Functions)),
		starts:    make(chan start),
		closing:   make(chan struct{}),
		posted:    make(chan struct{}, maxPosted),
		sandboxes: make(map[*sandbox]struct{}),
	}
	if h.region == "" {
		h.region = "us-east-1"
	}
	if h.account == "" {
		h.account = account.ID
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.logs == nil {
		h.logs = func(string, string) {}
	}
	var faults []error
	for _, f := range config.Functions {
		if err := f.validate(); err != nil {
			faults = append(faults, err)
			continue
		}
		if _, twice := h.functions[f.Name]; twice {
			faults = append(faults, fmt.Errorf("function %q is configured twice", f.Name))
			continue
		}
		f = f.withDefaults()
		var err error
		if f.Binary, err = filepath.Abs(f.Binary); err != nil {
			faults = append(faults, fmt.Errorf("function %q: %w", f.Name, err))
		}
		h.functions[f.Name] = &function{Function: f}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("lambdahost: %w", err)
	}
	h.work.Go(h.fork)
	return h, nil
}

// Result is what came of an invocation that reached the function.
type Result struct {
	Payload       []byte // the response, or the error document {errorMessage, errorType, …}
	FunctionError string // "" or "Unhandled"
	Version       string // always $LATEST
	RequestID     string
}

// Invoke runs the function once, synchronously, and returns when it has answered and its sandbox is free again or gone.
//
// It never retries a function, with one exception: an event which certainly did not reach the process, because that
// died first, is given to a fresh one. When ctx ends Invoke returns its error, while the function runs on to its end,
// as it does on AWS when the caller hangs up. The payload is not retained.
func (h *Host) Invoke(ctx context.Context, function string, payload []byte) (Result, error) {
	return h.invoke(ctx, function, request{payload: payload})
}

type request struct {
	payload       []byte
	traceID       string // X-Ray header; one is made up where empty
	clientContext string // JSON; none where empty
}

func (h *Host) invoke(ctx context.Context, name string, req request) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	f, known := h.functions[name]
	if !known {
		return Result{}, fmt.Errorf("%w: %s", ErrUnknownFunction, name)
	}
	if len(req.payload) > MaxPayload {
		return Result{}, ErrPayloadTooLarge
	}
	s, err := h.take(f)
	if err != nil {
		return Result{}, err
	}
	inv := newInvocation(req, h.arn(name))
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer h.work.Done() // take added it
		result, err := h.run(f, s, inv)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// take reserves a place for one invocation: with the sandbox that was used last, or with none if one must be started.
func (h *Host) take(f *function) (*sandbox, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if f.taken == f.Concurrency {
		return nil, ErrThrottled
	}
	f.taken++
	h.work.Add(1)
	if last := len(f.idle) - 1; last >= 0 {
		s := f.idle[last]
		f.idle[last] = nil
		f.idle = f.idle[:last]
		return s, nil
	}
	return nil, nil
}

// give ends a reservation, putting the sandbox on top of the idle ones unless it is nil or died meanwhile.
func (h *Host) give(f *function, s *sandbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.taken--
	if s == nil {
		return
	}
	if _, alive := h.sandboxes[s]; alive {
		f.idle = append(f.idle, s)
	}
}

// forget takes a dead sandbox out of every list.
func (h *Host) forget(s *sandbox) (wasIdle bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sandboxes, s)
	for i, other := range s.function.idle {
		if other == s {
			s.function.idle = append(s.function.idle[:i], s.function.idle[i+1:]...)
			return true
		}
	}
	return false
}

// run takes one invocation to its end. The place it holds is given back, with the sandbox if that can serve again.
func (h *Host) run(f *function, s *sandbox, inv *invocation) (Result, error) {
	var free *sandbox
	defer func() { h.give(f, free) }()
	for try := 1; ; try++ {
		deadline := time.Time{} // of this invocation; zero while none of its time is used up
		if s == nil {
			var failed *answer
			var err error
			if s, deadline, failed, err = h.boot(f, inv); err != nil {
				return Result{}, err
			} else if failed != nil {
				return inv.result(*failed), nil
			}
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(f.Timeout)
		}
		got := s.serve(inv, deadline)
		switch {
		case got.undelivered:
			if h.isClosing() {
				return Result{}, ErrClosed
			}
			if try == maxDeliveries {
				return inv.result(inv.exited(s.how)), nil
			}
			h.logger.Warn("sandbox died before it was given its event; starting another", "function", f.Name, "pid", s.pid, "request_id", inv.id)
			s = nil
			continue
		case got.interrupted:
			return Result{}, ErrClosed
		}
		if !got.dead {
			free = s
		}
		return inv.result(got.answer), nil
	}
}

// boot starts a sandbox and waits until it asks for its first event. AWS repeats an initialisation that failed or
// overran once, inside the invocation and on its time: then deadline says when that time ends.
func (h *Host) boot(f *function, inv *invocation) (s *sandbox, deadline time.Time, failed *answer, err error) {
	s, _, err = h.start(f, inv, f.InitTimeout)
	if err != nil || s != nil {
		return s, deadline, nil, err
	}
	h.logger.Warn("initialisation failed; trying once more within the invocation", "function", f.Name, "request_id", inv.id)
	deadline = time.Now().Add(f.Timeout)
	s, failed, err = h.start(f, inv, f.Timeout)
	return s, deadline, failed, err
}

func (h *Host) isClosing() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}

func (h *Host) arn(function string) string {
	return "arn:aws:lambda:" + h.region + ":" + h.account + ":function:" + function
}

// State is what a sandbox is doing.
type State string

// States of a sandbox, in the order of its life.
const (
	Starting State = "starting" // until it first asks for an event
	Busy     State = "busy"     // with an invocation, or on its way out
	Frozen   State = "frozen"   // stopped, waiting for an event
)

// Sandbox is a snapshot of one process.
type Sandbox struct {
	Function string
	PID      int
	State    State
}

// Sandboxes lists every process that is not yet reaped, in no order.
func (h *Host) Sandboxes() []Sandbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Sandbox, 0, len(h.sandboxes))
	for s := range h.sandboxes {
		list = append(list, Sandbox{Function: s.function.Name, PID: s.pid, State: s.state.Load().(State)})
	}
	return list
}

// Close kills every sandbox, as AWS does without an extension, and waits until all are reaped and every goroutine has
// ended, or until ctx ends. Invocations under way return ErrClosed. It may be called again, also concurrently.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.closing)
	}
	for s := range h.sandboxes {
		s.kill()
	}
	h.mu.Unlock()

	done := make(chan struct{})
	go func() {
		h.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("lambdahost: close: %w", ctx.Err())
	}
}
