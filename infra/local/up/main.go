// Command up runs the whole system on this machine until it is told to stop. It is what
// scripts/up starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/topology"
)

const usage = `Usage: scripts/up [options]

Runs the whole system on this machine, on loopback, with real parts: DynamoDB with
streams, SNS, SQS, the Lambda functions, the fanout worker, a WebSocket gateway, a
simulator that writes, and the dashboard. The first run installs what it needs.
Ctrl-C stops it all. Each run starts with empty tables.

Options:
  --headless            print only what scripts need, no status line
  --no-simulate         write nothing: the tables stay empty until you write
  --ready-file FILE     write FILE, with the lines of .local/env, once all is ready
  --dir DIR             where data, logs and the env file go (default .local)
  --dashboard-port N    port of the dashboard (default: a free one)
  --gateway-port N      port of the WebSocket gateway (default: a free one)
  --shards K            fanout queues, each with a worker for its part of the audience (default 1)
  --previous-shards K   how many there were before, whose messages are still to be delivered
  --fanout HOW          who serves a fanout queue: worker (default), or function, as on Lambda
  --auth HOW            who may connect, and ask: everybody (open, the default), or whoever has a
                        ticket for a token (ticket); .local/env says where to get them
  --lifetime D          how long the gateway lets a connection be open (default 2h, as AWS)
  --verbose             print every line that every part logs
  --install             install and build everything, then end
  --help                print this

Bring your own servers by naming them in AWS_ENDPOINT_URL_DYNAMODB (and, where they
differ, AWS_ENDPOINT_URL_DYNAMODB_STREAMS), AWS_ENDPOINT_URL_SNS and
AWS_ENDPOINT_URL_SQS, or all of them in AWS_ENDPOINT_URL: DynamoDB Local, LocalStack,
or AWS itself. They get the credentials that AWS_ACCESS_KEY_ID or AWS_PROFILE names, or
dummies, and the region in AWS_REGION or AWS_DEFAULT_REGION.
`

type flags struct {
	headless, noSimulate, verbose, install bool
	readyFile, dir                         string
	dashboardPort, gatewayPort             int
	shards, previousShards                 int
	fanout, auth                           string
	lifetime                               time.Duration
}

func main() {
	err := run(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
	case err != nil:
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func parse(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("up", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&f.headless, "headless", false, "")
	set.BoolVar(&f.noSimulate, "no-simulate", false, "")
	set.BoolVar(&f.verbose, "verbose", false, "")
	set.BoolVar(&f.install, "install", false, "")
	set.StringVar(&f.readyFile, "ready-file", "", "")
	set.StringVar(&f.dir, "dir", "", "")
	set.IntVar(&f.dashboardPort, "dashboard-port", 0, "")
	set.IntVar(&f.gatewayPort, "gateway-port", 0, "")
	set.IntVar(&f.shards, "shards", 1, "")
	set.IntVar(&f.previousShards, "previous-shards", 0, "")
	set.StringVar(&f.fanout, "fanout", "worker", "")
	set.StringVar(&f.auth, "auth", string(topology.AuthOpen), "")
	set.DurationVar(&f.lifetime, "lifetime", topology.ConnectionLifetime, "")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return f, err
		}
		return f, fmt.Errorf("%w; scripts/up --help lists the options", err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is not an option; scripts/up --help lists them", set.Arg(0))
	}
	if f.shards < 1 || f.shards > topology.Buckets || f.previousShards < 0 || f.previousShards > topology.Buckets {
		return f, fmt.Errorf("there can be 1 to %d shards", topology.Buckets)
	}
	if f.fanout != "worker" && f.fanout != "function" {
		return f, fmt.Errorf("--fanout is worker or function, not %q", f.fanout)
	}
	if auth := topology.Auth(f.auth); auth != topology.AuthOpen && auth != topology.AuthTicket {
		return f, fmt.Errorf("--auth is %s or %s, not %q", topology.AuthOpen, topology.AuthTicket, f.auth)
	}
	if f.lifetime <= 0 || f.lifetime > topology.ConnectionLifetime {
		return f, fmt.Errorf("--lifetime is a time as 20s, up to %s, not %s", topology.ConnectionLifetime, f.lifetime)
	}
	return f, nil
}

func run(args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	began := time.Now()
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	// A "| tee" takes the ctrl-C too and may go before us. Then writing fails, and we still clean up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	root := os.Getenv("IOPS_ROOT") // set by scripts/up, which may be called from anywhere
	if root == "" {
		return errors.New("start me by scripts/up")
	}
	terminal := &terminal{}
	defer context.AfterFunc(ctx, func() {
		stop() // a second ctrl-C ends us at once, and the kernel ends our children
		terminal.println("  stopping …")
	})()
	say := func(format string, args ...any) { terminal.println("  " + fmt.Sprintf(format, args...) + " …") }
	if f.install {
		if err := installAll(ctx, install.Tree{Root: root, Say: say}); err != nil {
			return interrupted(ctx, err)
		}
		return nil
	}
	opts := local.Options{
		Root: root, Dashboard: true, Simulate: !f.noSimulate,
		DashboardPort: f.dashboardPort, GatewayPort: f.gatewayPort,
		Topology: topology.New(topology.Options{
			Shards: f.shards, PreviousShards: f.previousShards, FanoutFunction: f.fanout == "function", Auth: topology.Auth(f.auth),
			Lifetime: f.lifetime,
		}),
		Say: say, Tell: teller(terminal, f.verbose),
	}
	if f.dir != "" {
		if opts.Dir, err = filepath.Abs(f.dir); err != nil {
			return err
		}
	}
	if opts.Endpoints, err = local.EndpointsFrom(ctx, os.Getenv); err != nil {
		return err
	}
	if f.readyFile != "" {
		_ = os.Remove(f.readyFile) // of an earlier run, which would lie
	}

	stack, err := local.Start(ctx, opts)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer stack.Close()
	if f.readyFile != "" {
		if err := stack.WriteEnv(f.readyFile); err != nil {
			return err
		}
		defer os.Remove(f.readyFile)
	}
	terminal.println(banner(stack, time.Since(began), !f.noSimulate))

	err = watch(ctx, stack, terminal, !f.headless && terminal.interactive())
	stop()
	return err
}

// interrupted is err, unless that came of the user's wish to stop.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before it was ready; nothing is left running")
	}
	return err
}

func installAll(ctx context.Context, tree install.Tree) error {
	for _, step := range []func(context.Context) error{tree.Servers, tree.Cloud, tree.Dashboard, tree.Programs} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// watch returns when the user wants to stop, or with the fault that ends the system.
func watch(ctx context.Context, stack *local.Stack, out *terminal, status bool) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			out.status("")
			return nil
		case err := <-stack.Failed():
			out.status("")
			return err
		case <-tick.C:
			if status {
				out.status(stack.Status())
			}
		}
	}
}

func banner(stack *local.Stack, took time.Duration, simulate bool) string {
	env := stack.Env()
	lines := []string{
		"",
		fmt.Sprintf("Ready in %.1f s", took.Seconds()),
		"  Dashboard    " + env["DASHBOARD_URL"],
		"  WebSocket    " + env["WEBSOCKET_URL"],
		"  HTTP API     " + env["API_URL"],
		"  Environment  " + relative(stack.EnvFile()) + "   (set -a; . " + word(stack.EnvFile()) + "; set +a)",
		"  Logs         " + relative(stack.LogDir()),
	}
	if env["TOKEN_URL"] != "" {
		lines = append(lines, "  Tickets      POST "+env["API_URL"]+"/tickets, with a token from "+env["TOKEN_URL"])
	}
	if simulate {
		lines = append(lines, "  Simulator    writes 500 updates a minute to "+env["METRICS_TABLE"])
	}
	return strings.Join(append(lines, "Ctrl-C stops everything."), "\n")
}

func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(r, "..") {
			return r
		}
	}
	return path
}

// word is the path as a shell takes it: with a slash, or the shell would look for it on PATH, and
// quoted where it must be.
func word(path string) string {
	path = relative(path)
	if !strings.Contains(path, "/") {
		path = "./" + path
	}
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./@%+=:,-]+$`)

// teller shows all lines, or only those that a person should know of.
func teller(out *terminal, verbose bool) func(name, line string) {
	return func(name, line string) {
		if verbose || strings.Contains(line, `"level":"ERROR"`) {
			out.println(name + " | " + line)
		}
	}
}

// terminal keeps a status line below what is printed. It is safe for concurrent use.
type terminal struct {
	mu   sync.Mutex
	line string
}

func (t *terminal) interactive() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (t *terminal) println(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != "" {
		fmt.Print("\r\033[K")
	}
	fmt.Println(s)
	fmt.Print(t.line)
}

func (t *terminal) status(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != "" || s != "" {
		fmt.Print("\r\033[K" + s)
	}
	t.line = s
}
