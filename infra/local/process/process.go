// Package process runs child processes: it passes their output on line by line, restarts those
// that should live on, and leaves none behind.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A restarted child is given up when it ends this often within crashWindow.
const (
	crashLimit  = 5
	crashWindow = 30 * time.Second
	maxLine     = 64 << 10
)

// Spec says what to run.
type Spec struct {
	Name    string
	Path    string
	Args    []string
	Env     []string // the complete environment
	Dir     string
	Restart bool          // start it again when it ends by itself
	Grace   time.Duration // from SIGTERM to SIGKILL; defaults to 5 s
}

// Process is a child, or the succession of children that a restart makes. All methods may be
// called concurrently.
type Process struct {
	spec  Spec
	lines func(line string)
	log   *slog.Logger

	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	err      error // why it ended; set before done closes

	mu      sync.Mutex
	current *exec.Cmd
}

// Start runs spec. Each line that it prints goes to lines, which must be safe for concurrent use.
func Start(spec Spec, lines func(line string), log *slog.Logger) (*Process, error) {
	if spec.Grace <= 0 {
		spec.Grace = 5 * time.Second
	}
	p := &Process{spec: spec, lines: lines, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	child, err := p.spawn()
	if err != nil {
		return nil, err
	}
	go p.supervise(child)
	return p, nil
}

// Name is the name that the process was started with.
func (p *Process) Name() string { return p.spec.Name }

// PID is the process ID of the present child.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current.Process.Pid
}

// Done is closed when the process has ended for good: stopped, given up, or not restarted.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the process ended by itself; nil after Stop. It is valid once Done is closed.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Stop asks the process to end with SIGTERM, kills it after its grace or when ctx ends, and
// returns once it is gone. It may be called again.
func (p *Process) Stop(ctx context.Context) {
	p.stopOnce.Do(func() { close(p.stop) })
	select {
	case <-p.done:
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.current.Process.Signal(s) // it may have ended already
}

// child is one running child; exited delivers its end once.
type child struct {
	exited chan error
}

func (p *Process) spawn() (*child, error) {
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env, cmd.Dir = p.spec.Env, p.spec.Dir
	Isolate(cmd)
	// The child's standard input stays open for as long as we live: a child that cares can
	// notice our end by it.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	// A grandchild may hold the output open; do not wait for it.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	p.mu.Lock()
	p.current = cmd
	p.mu.Unlock()

	read := make(chan struct{})
	go func() {
		defer close(read)
		scan(out, p.lines)
	}()
	c := &child{exited: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		_ = stdin.Close()
		_ = in.Close()
		<-read
		c.exited <- err
	}()
	return c, nil
}

func (p *Process) supervise(c *child) {
	defer close(p.done)
	var crashes []time.Time
	for {
		var err error
		select {
		case <-p.stop:
			p.end(c)
			return
		case err = <-c.exited:
		}
		select {
		case <-p.stop: // at the same moment
			return
		default:
		}
		reason := ended(err)
		if !p.spec.Restart {
			p.err = fmt.Errorf("%s ended by itself (%s)", p.spec.Name, reason)
			return
		}
		now := time.Now()
		crashes = append(crashes, now)
		if len(crashes) >= crashLimit {
			if now.Sub(crashes[len(crashes)-crashLimit]) < crashWindow {
				p.err = fmt.Errorf("%s ended %d times within %s (%s)", p.spec.Name, crashLimit, crashWindow, reason)
				return
			}
			crashes = crashes[1:]
		}
		p.log.Warn("restarting", "process", p.spec.Name, "reason", reason)
		if c, err = p.spawn(); err != nil {
			p.err = err
			return
		}
	}
}

func (p *Process) end(c *child) {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(p.spec.Grace)
	defer timer.Stop()
	select {
	case <-c.exited:
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-c.exited
	}
}

func ended(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.String()
	}
	if err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// scan passes on each line of r, clipped to maxLine bytes, until r ends.
func scan(r io.Reader, lines func(string)) {
	reader := bufio.NewReaderSize(r, maxLine)
	for {
		line, long, err := reader.ReadLine()
		if err != nil {
			return
		}
		lines(string(line))
		for long && err == nil {
			_, long, err = reader.ReadLine()
		}
	}
}
