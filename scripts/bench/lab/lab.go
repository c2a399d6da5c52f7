// Package lab runs senders against a stub: each in a process of its own, pinned to a core where
// there are two.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/scripts/bench/plan"
	"github.com/iops-dashboard/live/scripts/bench/sample"
	"github.com/iops-dashboard/live/scripts/bench/stub"
)

const (
	senderCore = "0"
	stubCore   = "1"
	// goodbye is how long a process that was asked to end may take.
	goodbye = 5 * time.Second
)

// Options say how a lab is set up.
type Options struct {
	// Stub is the command that runs [ServeStub] in a process of its own.
	Stub []string
	// Root is a folder of the repository, from which the sender is built.
	Root string
	// PlainHTTP leaves TLS out.
	PlainHTTP bool
}

// Lab is a running stub and a built sender. One run can go on at a time.
type Lab struct {
	Pinned bool

	dir, sender string
	environment []string
	announced   announcement
	stub        *exec.Cmd
	lifeline    io.Closer
}

// Open builds the sender and starts the stub. The caller has to Close the lab.
func Open(ctx context.Context, o Options) (*Lab, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, sender: filepath.Join(dir, "sender")}
	_, missing := exec.LookPath("taskset")
	l.Pinned = missing == nil && runtime.NumCPU() > 1
	if err := l.open(ctx, o); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context, o Options) error {
	build := exec.CommandContext(ctx, "go", "build", "-C", o.Root, "-o", l.sender, "./services/cmd/bench")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the sender does not build: %w\n%s", err, out)
	}
	if o.PlainHTTP {
		o.Stub = append(o.Stub, "--http")
	}
	l.stub = l.command(ctx, stubCore, o.Stub...)
	l.stub.Stderr = os.Stderr
	in, err := l.stub.StdinPipe()
	if err != nil {
		return err
	}
	l.lifeline = in
	out, err := l.stub.StdoutPipe()
	if err != nil {
		return err
	}
	if err := l.stub.Start(); err != nil {
		return fmt.Errorf("the stub does not start: %w", err)
	}
	if err := json.NewDecoder(out).Decode(&l.announced); err != nil {
		return fmt.Errorf("the stub did not say where it is: %w", err)
	}
	l.environment = senderEnvironment()
	if l.announced.Certificate == "" {
		return nil
	}
	certificate := filepath.Join(l.dir, "stub.pem")
	l.environment = append(l.environment, "AWS_CA_BUNDLE="+certificate)
	return os.WriteFile(certificate, []byte(l.announced.Certificate), 0o600)
}

// senderEnvironment is ours without any AWS setting of the user's: no sender may find the way to a
// real account.
func senderEnvironment() []string {
	var all []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AWS_") {
			all = append(all, pair)
		}
	}
	return append(all,
		"AWS_ACCESS_KEY_ID="+stub.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+stub.SecretAccessKey, "AWS_SESSION_TOKEN="+stub.SessionToken,
		"AWS_REGION="+stub.Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

// Close ends the stub and removes what the lab has written.
func (l *Lab) Close() {
	if l.lifeline != nil {
		_ = l.lifeline.Close()
	}
	if l.stub != nil && l.stub.Process != nil {
		_ = l.stub.Wait()
	}
	_ = os.RemoveAll(l.dir)
}

// command is a process on a core, which is asked to end with ctx.
func (l *Lab) command(ctx context.Context, core string, args ...string) *exec.Cmd {
	if l.Pinned {
		args = append([]string{"taskset", "-c", core}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = goodbye
	return cmd
}

// Run makes one run. An error means that the bench cannot go on.
func (l *Lab) Run(ctx context.Context, r plan.Run) (sample.Sample, error) {
	r.Workload.Endpoint = l.announced.Endpoint
	s := sample.Sample{
		Scenario: r.Scenario, Cell: r.Cell, Variant: r.Variant.Name, Round: r.Round,
		Workload: r.Workload, Settings: r.Settings, Scale: r.Scale,
	}
	if err := l.call(ctx, "/reset", r.Settings, nil); err != nil {
		return s, err
	}
	began := time.Now()
	if r.Variant.Sender == "" {
		var err error
		if s.Result, err = l.wrk(ctx, r.Workload); errors.Is(err, exec.ErrNotFound) {
			s.Absent = "wrk is not installed"
			return s, nil
		} else if err != nil {
			return s, err
		}
		// It ends after a time, with as many updates as it then has made.
		s.Workload.Updates = int(s.Result.Posts) / r.Workload.Connections
		s.Scale = float64(r.Workload.Connections*r.Workload.Updates) / float64(max(s.Result.Posts, 1))
	} else if err := l.send(ctx, r.Workload, &s.Result); err != nil {
		return s, err
	}
	if err := l.call(ctx, "/report", s.Result.Final, &s.Stub); err != nil {
		return s, err
	}
	if s.Stub.Last > 0 {
		s.Cold = time.Unix(0, s.Stub.Last).Sub(began).Seconds()
	}
	return s, nil
}

func (l *Lab) send(ctx context.Context, w sample.Workload, into *sample.Result) error {
	cmd := l.command(ctx, senderCore, l.sender)
	cmd.Env = l.environment
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	in, err := cmd.StdinPipe() // which stays open until the sender has ended
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	wrote := json.NewEncoder(in).Encode(w)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the sender of %s failed: %w\n%s", w.Variant, err, problems.Bytes())
	}
	if wrote != nil {
		return wrote
	}
	return json.Unmarshal(out.Bytes(), into)
}

// call asks the stub's other door.
func (l *Lab) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.announced.Control+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the stub does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("the stub refuses %s: %s", path, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
