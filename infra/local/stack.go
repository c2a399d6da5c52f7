// Package local runs the whole topology on one machine: DynamoDB with streams, SNS and SQS, the
// unmodified Lambda binaries behind a Runtime API host, the fanout worker, a WebSocket gateway,
// an HTTP API, the pump from stream to normalizer, and the built dashboard; and where tickets are
// wanted, an issuer of tokens. Everything listens on loopback.
//
// What it imitates of AWS, and what it does not, is said in the packages below it: lambdahost,
// gateway, httpapi, pump and iam.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/infra/local/account"
	"github.com/iops-dashboard/live/infra/local/gateway"
	"github.com/iops-dashboard/live/infra/local/iam"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/lambdahost"
	"github.com/iops-dashboard/live/infra/local/process"
	"github.com/iops-dashboard/live/infra/local/provision"
	"github.com/iops-dashboard/live/infra/local/pump"
	"github.com/iops-dashboard/live/infra/topology"
)

const (
	// AWS reads an idle shard about four times a second. A server on this machine is asked more
	// often, since the poll is most of the way from write to screen.
	ownPoll     = 10 * time.Millisecond
	foreignPoll = 250 * time.Millisecond

	closeTimeout = 30 * time.Second
)

// Options say what to run. The zero value of a field means what its comment says.
type Options struct {
	Root      string            // the checkout
	Dir       string            // where data, logs and the env file go. Defaults to <Root>/.local.
	Topology  topology.Topology // Defaults to topology.Default().
	Endpoints Endpoints         // servers of the user's; the rest is started
	Dashboard bool              // build and serve the dashboard
	Simulate  bool              // run the simulator
	Origins   []string          // of pages that may ask the HTTP API, and connect where tickets are wanted, besides the dashboard

	GatewayPort   int // Defaults to a free one.
	DashboardPort int // Defaults to a free one.

	// Say tells the user about a step that takes time. Defaults to silence.
	Say func(format string, args ...any)
	// Tell sees every line that any part prints, with the part's name. Defaults to nobody. It is
	// called concurrently.
	Tell func(name, line string)
	// Intercept wraps the gateway's management API, so that a test can hold or fail a post.
	Intercept func(http.Handler) http.Handler
	// Guarded has functions and workers do no more than the topology grants them, where no server is the user's. Each of
	// their calls makes a detour, so it is for tests: see startAuthority.
	Guarded bool
}

func (o Options) withDefaults() (_ Options, err error) {
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return o, err
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(o.Root, ".local")
	}
	if o.Topology.Tables == nil {
		o.Topology = topology.Default()
	}
	if o.Endpoints.Region == "" {
		o.Endpoints.Region = defaultRegion
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	o.Dir, err = filepath.Abs(o.Dir)
	return o, err
}

// Stack is a running system. Its methods may be called concurrently.
type Stack struct {
	opts      Options
	dir       string
	logs      *logs
	log       *slog.Logger
	endpoints Endpoints
	resources provision.Resources
	env       map[string]string
	host      *lambdahost.Host
	gateway   *gateway.Gateway
	dashboard net.Listener // nil without one
	posts     atomic.Int64

	authority *iam.Authority // see Authority
	proxyURL  string         // where it judges calls of servers

	fatal   chan error
	running sync.WaitGroup

	mu        sync.Mutex
	processes []*process.Process

	closeOnce sync.Once
	closers   []func(context.Context) // run last to first
}

// Start brings the system up and returns once a write would reach a browser. When it fails,
// nothing is left running. The context bounds the start only.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := opts.Topology.Validate(); err != nil {
		return nil, err
	}
	if opts.wantsTickets() && !opts.Dashboard && len(opts.Origins) == 0 {
		return nil, errors.New("tickets are wanted, and there is no page that may have one: run the dashboard, or name Origins")
	}
	s := &Stack{opts: opts, dir: opts.Dir, endpoints: opts.Endpoints, fatal: make(chan error, 1)}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if err := s.claimDir(); err != nil {
		return err
	}
	if err := s.endpoints.reach(ctx); err != nil {
		return err
	}
	tree := install.Tree{Root: s.opts.Root, Say: s.opts.Say}
	bin := tree.Bin()
	if err := s.install(ctx, tree); err != nil {
		return err
	}
	if err := s.startServers(ctx, tree); err != nil {
		return err
	}
	s.opts.Say("creating tables, topic and queues")
	resources, err := provision.Apply(ctx, s.endpoints.clients(), s.opts.Topology)
	if err != nil {
		return err
	}
	s.resources = resources

	if s.opts.Dashboard {
		if err := s.listenDashboard(); err != nil {
			return err
		}
	}
	gatewayAt, err := listen("gateway", s.opts.GatewayPort)
	if err != nil {
		return err
	}
	api := "127.0.0.1:" + port(gatewayAt) + "/" + s.opts.Topology.WebSocket.Stage
	s.resources.Callback, s.resources.Socket = "http://"+api, "ws://"+api
	if s.env, err = s.variables(ctx, s.resources.Socket); err != nil {
		return errors.Join(err, gatewayAt.Close())
	}

	s.settleOrigins()
	if err := s.startIssuer(); err != nil {
		return errors.Join(err, gatewayAt.Close())
	}

	if err := s.startAuthority(); err != nil {
		return errors.Join(err, gatewayAt.Close())
	}
	s.opts.Say("starting the services")
	if err := s.startFunctions(bin); err != nil {
		return errors.Join(err, gatewayAt.Close())
	}
	if err := s.startGateway(gatewayAt); err != nil {
		return err
	}
	if err := s.startHTTP(); err != nil {
		return err
	}
	if err := s.startWorkers(bin); err != nil {
		return err
	}
	if err := s.startStores(); err != nil {
		return err
	}
	if err := s.startPumps(); err != nil {
		return err
	}
	if s.opts.Dashboard {
		s.startDashboard()
	}
	s.onClose(func(context.Context) { _ = os.Remove(s.EnvFile()) })
	if err := s.WriteEnv(s.EnvFile()); err != nil {
		return err
	}
	if s.opts.Simulate {
		return s.startSimulator(bin)
	}
	return nil
}

// claimDir takes the folder for this process and opens the logs. What was given up into the failure
// store stays from run to run.
func (s *Stack) claimDir() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("no place for data and logs: %w; choose another with --dir", err)
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "up.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("no place for data and logs: %w; choose another with --dir", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("the system is already running in %s: stop it first, or choose another folder with --dir", s.dir), lock.Close())
	}
	s.onClose(func(context.Context) { _ = lock.Close() })
	_ = os.Remove(s.EnvFile()) // of a run that was killed, which would lie
	if s.logs, err = newLogs(filepath.Join(s.dir, "log"), s.opts.Tell); err != nil {
		return err
	}
	s.onClose(func(context.Context) { s.logs.close() })
	s.log = slog.New(slog.NewJSONHandler(s.logs, nil))
	return nil
}

func (s *Stack) install(ctx context.Context, tree install.Tree) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := tree.Servers(ctx); err != nil || !s.opts.Dashboard {
			return err
		}
		return tree.Dashboard(ctx)
	})
	s.opts.Say("building the services")
	group.Go(func() error { return tree.Programs(ctx) })
	return group.Wait()
}

func (s *Stack) startServers(ctx context.Context, tree install.Tree) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.endpoints.DynamoDB == "" {
		s.opts.Say("starting DynamoDB (dynoxide)")
		group.Go(func() (err error) {
			s.endpoints.DynamoDB, err = s.serve(ctx, dynoxide(tree))
			s.endpoints.Streams = s.endpoints.DynamoDB
			return err
		})
	} else {
		s.opts.Say("using DynamoDB at %s", s.endpoints.DynamoDB)
	}
	if s.endpoints.SQS == "" {
		s.opts.Say("starting SNS and SQS (fauxqs)")
		group.Go(func() (err error) {
			s.endpoints.SQS, err = s.serve(ctx, fauxqs(ctx, tree))
			s.endpoints.SNS = s.endpoints.SQS
			return err
		})
	} else {
		s.opts.Say("using SNS at %s and SQS at %s", s.endpoints.SNS, s.endpoints.SQS)
	}
	return group.Wait()
}

func (s *Stack) startFunctions(bin string) error {
	var functions []lambdahost.Function
	for _, f := range s.opts.Topology.Functions {
		functions = append(functions, lambdahost.Function{
			Name: f.Name, Binary: filepath.Join(bin, f.Command), Environment: s.as(f.Name, s.deployableEnv(f.Environment)),
			Timeout: f.Timeout, MemoryMB: f.MemoryMB, Concurrency: f.Concurrency,
		})
	}
	var err error
	s.host, err = lambdahost.New(lambdahost.Config{
		Functions: functions, Region: s.endpoints.Region, Logger: s.log,
		Logs: func(function, line string) { s.logs.write(function, line) },
	})
	if err != nil {
		return err
	}
	s.onClose(func(ctx context.Context) { _ = s.host.Close(ctx) })

	l, err := listen("lambda", 0)
	if err != nil {
		return err
	}
	s.listenAndServe(l, s.host.Handler())
	s.env["AWS_ENDPOINT_URL_LAMBDA"] = "http://127.0.0.1:" + port(l)
	return nil
}

// invoke is how the gateway and the HTTP API run a function. Where AWS would start one environment more, a machine
// has no room: the call waits for one until ctx ends, so that a hundred pages may open at once, and
// close.
func (s *Stack) invoke(ctx context.Context, function string, payload []byte) ([]byte, string, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		result, err := s.host.Invoke(ctx, function, payload)
		if !errors.Is(err, lambdahost.ErrThrottled) {
			return result.Payload, result.FunctionError, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, "", err
		}
	}
}

func (s *Stack) startGateway(l net.Listener) error {
	g, err := gateway.New(gateway.Config{
		Stage: s.opts.Topology.WebSocket.Stage, Region: s.endpoints.Region,
		Routes: s.opts.Topology.WebSocket.Routes, Authorizer: gateway.Authorizer(s.opts.Topology.WebSocket.Authorizer), Intercept: s.intercept, Logger: s.log,
		Limits: gateway.Limits{Lifetime: s.opts.Topology.WebSocket.Lifetime}, WantSignature: true,
	}, gateway.InvokerFunc(s.invoke))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.gateway = g
	s.listenAndServe(l, g)
	s.onClose(func(ctx context.Context) { _ = g.Close(ctx) })
	return nil
}

// intercept counts the posts, and lets a test have them.
func (s *Stack) intercept(next http.Handler) http.Handler {
	if s.opts.Intercept != nil {
		next = s.opts.Intercept(next)
	}
	return s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			s.posts.Add(1)
		}
		next.ServeHTTP(w, r)
	}))
}

// Status says in a line how it goes.
func (s *Stack) Status() string {
	return fmt.Sprintf("  open connections: %d, frames posted: %d", s.gateway.Open(), s.posts.Load())
}

func (s *Stack) startWorkers(bin string) error {
	for _, w := range s.opts.Topology.Workers {
		p, err := process.Start(process.Spec{
			Name: w.Name, Path: filepath.Join(bin, w.Command), Env: s.as(w.Name, s.deployableEnv(w.Environment)),
			Dir: s.dir, Restart: true, Grace: w.StopTimeout,
		}, s.logs.lines(w.Name), s.log)
		if err != nil {
			return err
		}
		s.own(p)
	}
	return nil
}

func (s *Stack) startPumps() error {
	poll := ownPoll
	if s.opts.Endpoints.DynamoDB != "" {
		poll = foreignPoll
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := pump.InvokerFunc(func(ctx context.Context, function string, payload []byte) (pump.Response, error) {
		result, err := s.host.Invoke(ctx, function, payload)
		return pump.Response(result), err
	})
	var pumps sync.WaitGroup
	s.onClose(func(context.Context) { cancel(); pumps.Wait() })
	queues := s.endpoints.clients().SQS
	stores := s.stores(queues)
	for _, m := range s.opts.Topology.Streams {
		p := pump.New(pump.Mapping{
			UUID: m.Table, StreamARN: s.resources.Streams[m.Table], TableName: m.Table, Function: m.Function,
			BatchSize: m.BatchSize, Window: m.Window, MaxRetries: m.Retries, MaxAge: m.MaxAge,
			Bisect: true, ReportBatchItemFailures: true, StartingPosition: "TRIM_HORIZON", Poll: poll, Filter: (*pump.KeyPrefix)(m.Filter),
		}, s.endpoints.streams(), run, stores[m.Failures], s.log)
		pumps.Go(func() {
			if err := p.Run(ctx); err != nil && ctx.Err() == nil {
				s.fail(fmt.Errorf("the stream of %s: %w", m.Table, err))
			}
		})
	}
	for _, m := range s.opts.Topology.QueueMappings {
		function, _ := s.opts.Topology.Function(m.Function)
		p := pump.NewQueue(pump.QueueMapping{
			QueueURL: s.resources.Queues[m.Queue], QueueARN: "arn:aws:sqs:" + s.endpoints.Region + ":" + account.ID + ":" + m.Queue,
			Function: m.Function, Region: s.endpoints.Region, BatchSize: m.BatchSize, Concurrency: function.Concurrency,
		}, queues, run, s.log)
		pumps.Go(func() { p.Run(ctx) })
	}
	for _, x := range s.opts.Topology.Schedules {
		scheduler := pump.NewScheduler(pump.Schedule{
			Function: x.Function, Every: x.Every, Region: s.endpoints.Region,
		}, run, s.log)
		pumps.Go(func() { scheduler.Run(ctx) })
	}
	return nil
}

// store is the folder for what streams give up: one for all stores, since what is in it has names of its own.
func (s *Stack) store() pump.DirectoryStore {
	return pump.DirectoryStore{Directory: filepath.Join(s.dir, "failures")}
}

// startStores lets whoever replays read the stores with a client of S3. Functions and workers, which run by now, have
// nothing to read there.
func (s *Stack) startStores() error {
	l, err := listen("store", 0)
	if err != nil {
		return err
	}
	objects := pump.Objects{}
	for _, x := range s.opts.Topology.Stores {
		objects[x.Name] = s.store()
	}
	s.listenAndServe(l, objects)
	s.env["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:" + port(l)
	return nil
}

// stores are the places for what streams give up, and for each the queue that is told.
func (s *Stack) stores(queues *sqs.Client) map[string]pump.FailureStore {
	all := map[string]pump.FailureStore{}
	for _, x := range s.opts.Topology.Stores {
		url := s.resources.Queues[x.Queue]
		all[x.Name] = pump.NotifyingStore{
			FailureStore: s.store(), Bucket: x.Name, Region: s.endpoints.Region, Logger: s.log,
			Notify: func(ctx context.Context, body string) error {
				_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
				return err
			},
		}
	}
	return all
}

// listenDashboard takes the dashboard's port, before the functions start that must know its origin.
func (s *Stack) listenDashboard() (err error) {
	if s.dashboard, err = listen("dashboard", s.opts.DashboardPort); err == nil {
		s.onClose(func(context.Context) { _ = s.dashboard.Close() }) // if it is never served
	}
	return err
}

func (s *Stack) startDashboard() {
	config := pageConfig{WebSocketURL: s.env["WEBSOCKET_URL"], APIURL: s.env["API_URL"]}
	if s.opts.wantsTickets() {
		config.SignIn = &signIn{Issuer: s.resources.Issuer, ClientID: s.resources.Audience}
	}
	s.listenAndServe(s.dashboard, dashboard(filepath.Join(s.opts.Root, "frontend", "dist"), config))
	s.env["DASHBOARD_URL"] = "http://127.0.0.1:" + port(s.dashboard)
}

func (s *Stack) startSimulator(bin string) error {
	p, err := process.Start(process.Spec{
		Name: "simulate", Path: filepath.Join(bin, "simulate"), Env: s.simulatorEnv(), Dir: s.dir,
	}, s.logs.lines("simulate"), s.log)
	if err != nil {
		return err
	}
	s.own(p)
	return nil
}

// listenAndServe serves h on l until the stack closes.
func (s *Stack) listenAndServe(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	s.running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("the server on %s: %w", l.Addr(), err))
		}
	})
	s.onClose(func(context.Context) { _ = server.Close() })
}

// own stops p when the stack closes, and ends the stack when p ends by itself.
func (s *Stack) own(p *process.Process) {
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	s.onClose(p.Stop)
	s.running.Go(func() {
		if err := p.Err(); err != nil {
			s.fail(fmt.Errorf("%w: everything is stopped; its last words are in %s, start again", err, s.logs.path(p.Name())))
		}
	})
}

func (s *Stack) fail(err error) {
	select {
	case s.fatal <- err:
	default: // the first fault is the cause of the others
	}
}

func (s *Stack) onClose(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

// Failed delivers the fault that the system cannot live on with, if there is one.
func (s *Stack) Failed() <-chan error { return s.fatal }

// Env is what .local/env holds: where everything is.
func (s *Stack) Env() map[string]string { return maps.Clone(s.env) }

// Processes are the child processes, except the sandboxes of functions.
func (s *Stack) Processes() []*process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

// Close stops everything, in the order against the flow of data, and leaves nothing running. It
// may be called again.
func (s *Stack) Close() {
	s.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		s.mu.Lock()
		closers := s.closers
		s.mu.Unlock()
		for _, f := range slices.Backward(closers) {
			f(ctx)
		}
		s.running.Wait()
	})
}

func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

// LogDir is where each part's output goes.
func (s *Stack) LogDir() string { return s.logs.dir }

// FunctionPIDs are the process IDs of a function's environments, frozen ones included.
func (s *Stack) FunctionPIDs(function string) []int {
	var pids []int
	for _, x := range s.host.Sandboxes() {
		if x.Function == function {
			pids = append(pids, x.PID)
		}
	}
	return pids
}
