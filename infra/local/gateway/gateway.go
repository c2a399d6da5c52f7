package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Invoker runs a Lambda function synchronously (InvocationType RequestResponse).
type Invoker interface {
	// Invoke calls function with the event in payload and returns what the function returned. A functionError that is not
	// empty says that the function ran and failed ("Unhandled", …); err says that it did not run or did not finish: it is
	// unknown, throttled, or ctx ended. Invoke must return soon after ctx ends, must not keep payload, and may be called
	// from many goroutines at once. The gateway never retries.
	Invoke(ctx context.Context, function string, payload []byte) (response []byte, functionError string, err error)
}

// InvokerFunc is a function that is an [Invoker].
type InvokerFunc func(ctx context.Context, function string, payload []byte) (response []byte, functionError string, err error)

// Invoke calls f.
func (f InvokerFunc) Invoke(ctx context.Context, function string, payload []byte) ([]byte, string, error) {
	return f(ctx, function, payload)
}

// Gateway is one running WebSocket API. Use [New] to make one, serve it with an http.Server, and end it with Close.
type Gateway struct {
	cfg        Config
	invoker    Invoker
	selection  selection
	connects   *bucket
	requests   *bucket
	management http.Handler

	// life is the context of every integration and the last resort of Close: when it is killed, calls are abandoned and
	// sockets are cut. It is not the context of a request, which ends when a client goes, while a Lambda runs on.
	life context.Context
	kill context.CancelCauseFunc

	running sync.WaitGroup // every goroutine that belongs to a connection
	closing chan struct{}  // closed when Close begins
	done    chan struct{}  // closed when Close is complete

	mu          sync.Mutex
	closed      bool
	connections map[string]*connection // open ones only
}

// ErrClosed is the cause with which integrations are cancelled when Close runs out of time.
var ErrClosed = errors.New("gateway closed")

// New checks cfg and returns a Gateway that runs its functions with invoker. It reports all faults of cfg together. It starts
// nothing: goroutines come and go with connections.
func New(cfg Config, invoker Invoker) (*Gateway, error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if (len(cfg.Routes) > 0 || cfg.Authorizer.Function != "") && invoker == nil {
		err = errors.Join(err, errors.New("gateway: Routes or an Authorizer without an Invoker"))
	}
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg:         cfg,
		invoker:     invoker,
		connects:    newBucket(cfg.Limits.ConnectsPerSecond, cfg.Limits.ConnectBurst),
		requests:    newBucket(cfg.Limits.RequestsPerSecond, cfg.Limits.RequestBurst),
		closing:     make(chan struct{}),
		done:        make(chan struct{}),
		connections: make(map[string]*connection),
	}
	g.selection, _ = parseSelection(cfg.RouteSelection)
	g.life, g.kill = context.WithCancelCause(context.Background())
	g.management = http.HandlerFunc(g.manage)
	if cfg.Intercept != nil {
		g.management = cfg.Intercept(g.management)
	}
	return g, nil
}

// ServeHTTP serves the upgrade and the management API. For an upgraded connection it returns when $disconnect is done.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	stage, rest, deeper := splitPath(r.URL)
	switch {
	case stage != g.cfg.Stage:
		refuse(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
	case !deeper && r.Method == http.MethodGet:
		g.connect(w, r)
	case deeper && strings.HasPrefix(rest, "@connections/"):
		g.management.ServeHTTP(w, r)
	default:
		refuse(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
	}
}

// splitPath separates the stage from what follows it, both decoded. It does not clean the path, which http.ServeMux
// would: an id is refused for what it is, not redirected.
func splitPath(u *url.URL) (stage, rest string, deeper bool) {
	stage, rest, deeper = strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	var err1, err2 error
	stage, err1 = url.PathUnescape(stage)
	rest, err2 = url.PathUnescape(rest)
	if err1 != nil || err2 != nil {
		return "", "", false
	}
	return stage, rest, deeper
}

// Open returns the number of connections that the management API can reach now.
func (g *Gateway) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.connections)
}

// Close refuses new upgrades, closes every connection with 1001 after what was accepted for it is written, runs
// $disconnect for each, and returns when no goroutine of the gateway is left. If ctx ends first, it cancels the running
// functions with [ErrClosed], cuts the sockets and returns an error, at the latest Limits.CloseWait later. It may be called
// again and concurrently. Stop the http.Server as well: requests that are not upgraded are its own.
func (g *Gateway) Close(ctx context.Context) error {
	if open, first := g.startClosing(); first {
		for _, c := range open {
			g.end(c, causeGoingAway)
		}
		go func() {
			g.running.Wait()
			g.kill(ErrClosed)
			close(g.done)
		}()
	}
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
	}
	g.kill(ErrClosed)
	// A cancelled call returns soon; one that does not must not hold up the caller, whose time is over.
	graced, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.Limits.CloseWait)
	defer cancel()
	select {
	case <-g.done:
		return fmt.Errorf("gateway: connections were cut: %w", context.Cause(ctx))
	case <-graced.Done():
		return fmt.Errorf("gateway: a function did not return when it was cancelled: %w", context.Cause(ctx))
	}
}

func (g *Gateway) startClosing() (open []*connection, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, false
	}
	g.closed = true
	close(g.closing)
	for _, c := range g.connections {
		open = append(open, c)
	}
	return open, true
}

// enter counts the calling goroutine as running, unless the gateway is closed.
func (g *Gateway) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running.Add(1)
	return true
}

func (g *Gateway) register(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connections[c.id] = c
}

func (g *Gateway) lookup(id string) (*connection, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.connections[id]
	return c, ok
}

// end begins the end of c, for the first cause only: from here on it is gone to the management API.
func (g *Gateway) end(c *connection, why cause) {
	if !c.end(why) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.connections, c.id)
}
