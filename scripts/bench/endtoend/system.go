package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/local/process"
)

const (
	// startTimeout leaves time to install all that the first run of a clone needs.
	startTimeout = 10 * time.Minute
	// goodbye is how long the system may take to end, before it is killed.
	goodbye = 45 * time.Second
)

// system is a running scripts/up.
type system struct {
	env map[string]string // by which anybody finds its parts

	cancel    context.CancelFunc
	ended     chan struct{}
	how       string // it ended; valid then
	temporary string // a folder to remove; "" is none
}

// startSystem returns once the system is ready. What scripts/up prints goes to our standard error.
// The system ends with ctx; the caller has to stop it in any case.
func startSystem(ctx context.Context, root, dir string, options ...string) (*system, error) {
	s := &system{ended: make(chan struct{})}
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "end-to-end-"); err != nil {
			return nil, err
		}
		s.temporary = dir
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	ready := filepath.Join(dir, "ready")
	_ = os.Remove(ready) // of an earlier run that was killed, which would lie

	ctx, s.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "up"),
		append([]string{"--headless", "--no-simulate", "--dir", dir, "--ready-file", ready}, options...)...)
	cmd.Env = withoutAWS(os.Environ())
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	process.Isolate(cmd)
	// All of the group: scripts/up may be waiting for the compiler.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = goodbye
	if err := cmd.Start(); err != nil {
		close(s.ended)
		s.stop()
		return nil, fmt.Errorf("scripts/up does not start: %w; --root names the repository", err)
	}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait()
		s.how = cmd.ProcessState.String()
	}()
	if err := s.await(ctx, ready); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// withoutAWS leaves out the user's AWS settings: nothing may find the way to a real account.
func withoutAWS(environment []string) []string {
	var rest []string
	for _, pair := range environment {
		if !strings.HasPrefix(pair, "AWS_") {
			rest = append(rest, pair)
		}
	}
	return rest
}

func (s *system) await(ctx context.Context, ready string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	for {
		if text, err := os.ReadFile(ready); err == nil {
			s.env = parseEnv(text)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return fmt.Errorf("scripts/up ended before the system was ready (%s); above it says why", s.how)
		case <-limit.C:
			return fmt.Errorf("the system was not ready after %s; try scripts/up --verbose", startTimeout)
		case <-tick.C:
		}
	}
}

// parseEnv reads lines of NAME=value.
func parseEnv(text []byte) map[string]string {
	env := map[string]string{}
	for line := range bytes.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(string(line)), "="); ok {
			env[name] = value
		}
	}
	return env
}

// during is a context that ends with the system, too.
func (s *system) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.ended:
			cancel(fmt.Errorf("the system ended by itself (%s); above it says why", s.how))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// stop ends the system and returns when nothing of it is left.
func (s *system) stop() {
	s.cancel()
	<-s.ended
	if s.temporary != "" {
		_ = os.RemoveAll(s.temporary)
	}
}
