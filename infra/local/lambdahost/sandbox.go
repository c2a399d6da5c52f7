package lambdahost

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// linger is how long we wait for what a dead process leaves behind to drain: its pipes and its connections.
const linger = time.Second

// sandbox is one process of a function's binary and the Runtime API that only it is told of.
type sandbox struct {
	host     *Host
	function *function
	cmd      *exec.Cmd
	pid      int
	state    atomic.Value // State

	listener *watchedListener
	server   *http.Server

	enter    sync.Mutex // guards ended, and handlers against growing when it is waited for
	ended    bool
	handlers sync.WaitGroup

	asked     chan *ask   // the runtime calls `next`; capacity 1
	initError chan answer // the runtime gives up; capacity 1

	current atomic.Pointer[invocation] // what may be answered now
	waiting *ask                       // the call of `next` that gets the event; owned by whoever holds the sandbox

	exited chan struct{} // closed when the process is reaped
	how    string        // how it ended; read after exited
}

// start runs a new sandbox and waits for its first `next`, for at most limit. It returns a sandbox, or the answer for
// an invocation that has to end here, or an error of the host.
func (h *Host) start(f *function, inv *invocation, limit time.Duration) (*sandbox, *answer, error) {
	s, err := h.spawn(f)
	if err != nil {
		return nil, nil, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var failed answer
	select {
	case s.waiting = <-s.asked:
		s.state.Store(Busy)
		return s, nil, nil
	case failed = <-s.initError:
		s.awaitExit(timer.C)
	case <-s.exited:
		select {
		case failed = <-s.initError:
		default:
			failed = inv.exited(s.how)
		}
	case <-timer.C:
		failed = inv.timedOut(limit)
	}
	s.kill()
	<-s.exited
	if h.isClosing() {
		return nil, nil, ErrClosed
	}
	return nil, &failed, nil
}

// spawn starts the process. From here on a goroutine of the host waits for its end.
func (h *Host) spawn(f *function) (*sandbox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambdahost: runtime API of %s: %w", f.Name, err)
	}
	output := &lines{emit: func(line string) { h.logs(f.Name, line) }}
	cmd := exec.Command(f.Binary)
	cmd.Dir = filepath.Dir(f.Binary)
	cmd.Env = h.environment(f.Function, listener.Addr().String())
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = linger
	cmd.SysProcAttr = processAttributes()

	s := &sandbox{
		host:      h,
		function:  f,
		cmd:       cmd,
		listener:  watch(listener),
		asked:     make(chan *ask, 1),
		initError: make(chan answer, 1),
		exited:    make(chan struct{}),
	}
	s.state.Store(Starting)
	s.server = s.newServer()

	begun := start{cmd, make(chan error, 1)}
	select {
	case h.starts <- begun:
	case <-h.closing:
		listener.Close()
		return nil, ErrClosed
	}
	if err := <-begun.done; err != nil {
		listener.Close()
		return nil, fmt.Errorf("lambdahost: start %s: %w", f.Name, err)
	}
	s.pid = cmd.Process.Pid

	h.mu.Lock()
	h.sandboxes[s] = struct{}{}
	closed := h.closed
	h.mu.Unlock()
	if closed {
		s.kill() // Close has not seen it
	}
	h.logger.Debug("sandbox started", "function", f.Name, "pid", s.pid)

	h.work.Go(func() { _ = s.server.Serve(s.listener) }) // ends when reap closes it
	h.work.Go(func() { s.reap(output) })
	return s, nil
}

// reap waits for the end of the process, however it comes, and takes the sandbox down.
func (s *sandbox) reap(output *lines) {
	_ = s.cmd.Wait() // what there is to know is in ProcessState
	// Children of the function die with it. The group's number cannot have been given to others so soon: the kernel
	// hands numbers out in a circle.
	_ = signalGroup(s.pid, kill)
	output.flush()
	state := s.cmd.ProcessState
	switch {
	case state != nil && !state.Success():
		s.how = "Runtime exited with error: " + state.String()
	default:
		s.how = "Runtime exited without providing a reason"
	}
	wasIdle := s.host.forget(s)
	close(s.exited)
	if wasIdle && !s.host.isClosing() {
		s.host.logger.Warn("sandbox died while idle; the next invocation starts another", "function", s.function.Name, "pid", s.pid, "how", s.how)
	} else {
		s.host.logger.Debug("sandbox ended", "function", s.function.Name, "pid", s.pid, "how", s.how)
	}

	// The kernel has ended the connections. They are left to be read to that end, which tells whether an event was
	// read by the process, before they are closed from here.
	s.listener.drain(linger)
	s.server.Close()
	s.enter.Lock()
	s.ended = true
	s.enter.Unlock()
	s.handlers.Wait()
}

// kill ends the process and its children at once; it works on stopped ones too. Its end is seen on s.exited.
func (s *sandbox) kill() { s.signal(kill) }

func (s *sandbox) signal(sig signal) {
	select {
	case <-s.exited:
	default:
		_ = signalGroup(s.pid, sig) // gone: seen on s.exited
	}
}

func (s *sandbox) awaitExit(limit <-chan time.Time) {
	select {
	case <-s.exited:
	case <-limit:
	}
}

// served is how an attempt to serve an invocation ended.
type served struct {
	answer      answer
	dead        bool // the sandbox cannot be used again
	undelivered bool // the process certainly did not get the event; no answer, dead
	interrupted bool // the host is closing; no answer, dead
}

// serve thaws the sandbox, hands it the event, waits for the answer and then for the runtime to ask for more or to
// exit, and freezes it. Whatever is not alive and well at the end is dead and reaped when serve returns: a sandbox
// that answered with a panic and is on its way out is never taken for a free one.
func (s *sandbox) serve(inv *invocation, deadline time.Time) served {
	inv.deadline = deadline
	if deadline.Before(time.Now()) { // a repeated initialisation took all of the time
		s.kill()
		<-s.exited
		return served{answer: inv.timedOut(s.function.Timeout), dead: true}
	}
	s.current.Store(inv)
	defer s.current.Store(nil)
	s.state.Store(Busy)
	s.signal(resume)

	next := s.waiting
	s.waiting = nil
	select {
	case next.events <- inv:
	case <-next.over: // the runtime hung up, or died
		s.kill()
		<-s.exited
		return served{dead: true, undelivered: true}
	}

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var got *answer
	answers := inv.answers
	for {
		select {
		case a := <-answers:
			got, answers = &a, nil
			continue
		case s.waiting = <-s.asked:
			if got == nil {
				got = pending(answers)
			}
			if got == nil { // out of step: it forgot its event
				s.kill()
				<-s.exited
				return served{answer: inv.exited("Runtime asked for the next event without answering"), dead: true}
			}
			s.signal(stop)
			s.state.Store(Frozen)
			return served{answer: *got}
		case <-s.exited:
		case <-timer.C:
			s.kill()
			<-s.exited
			if got == nil {
				got = pending(answers)
			}
			if got == nil && !s.host.isClosing() {
				return served{answer: inv.timedOut(s.function.Timeout), dead: true}
			}
		}

		// It is dead.
		if got == nil {
			got = pending(answers)
		}
		switch {
		case got != nil:
			return served{answer: *got, dead: true}
		case s.host.isClosing():
			return served{dead: true, interrupted: true}
		case next.unread(linger):
			return served{dead: true, undelivered: true}
		default:
			return served{answer: inv.exited(s.how), dead: true}
		}
	}
}

func pending(answers chan answer) *answer {
	select {
	case a := <-answers:
		return &a
	default:
		return nil
	}
}

// environment is complete: nothing is inherited. The function's own variables override the defaults before them and
// are overridden by what AWS reserves.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (h *Host) environment(f Function, api string) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
		"AWS_REGION=" + h.region,
		"AWS_DEFAULT_REGION=" + h.region,
	}
	env = append(env, f.Environment...)
	return append(env,
		"AWS_LAMBDA_RUNTIME_API="+api,
		"_HANDLER=bootstrap",
		"AWS_LAMBDA_FUNCTION_NAME="+f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION="+Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME="+time.Now().UTC().Format("2006/01/02")+"/["+Version+"]"+newUUID(),
		"LAMBDA_TASK_ROOT="+filepath.Dir(f.Binary),
	)
}

type start struct {
	cmd  *exec.Cmd
	done chan error
}

// fork starts processes, all from one thread that lives as long as they do: on Linux the signal that is to follow the
// host's death follows the death of the thread that forked.
func (h *Host) fork() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case begun := <-h.starts:
			begun.done <- begun.cmd.Start()
		case <-h.closing:
			return
		}
	}
}
