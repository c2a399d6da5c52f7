package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/infra/local/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that should happen at once.
const patience = 10 * time.Second

// allRoutes names a function for each predefined route and for one of our own.
var allRoutes = map[string]string{"$connect": "connect", "$disconnect": "disconnect", "$default": "default", "sync": "sync"}

// fakeHost is a Lambda host whose functions are Go functions. One that is not set returns {"statusCode":200}.
type fakeHost struct {
	mu        sync.Mutex
	functions map[string]gateway.InvokerFunc
	seen      map[string]chan []byte
}

func (h *fakeHost) Invoke(ctx context.Context, function string, payload []byte) ([]byte, string, error) {
	h.events(function) <- payload
	h.mu.Lock()
	f := h.functions[function]
	h.mu.Unlock()
	if f == nil {
		return []byte(`{"statusCode":200}`), "", nil
	}
	return f(ctx, function, payload)
}

func (h *fakeHost) events(function string) chan []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen[function] == nil {
		h.seen[function] = make(chan []byte, 1024)
	}
	return h.seen[function]
}

func (h *fakeHost) set(function string, f gateway.InvokerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.functions[function] = f
}

// replies makes a function return text.
func replies(text string) gateway.InvokerFunc {
	return func(context.Context, string, []byte) ([]byte, string, error) { return []byte(text), "", nil }
}

func fails(context.Context, string, []byte) ([]byte, string, error) {
	return []byte(`{"errorMessage":"boom"}`), "Unhandled", nil
}

func throttled(context.Context, string, []byte) ([]byte, string, error) {
	return nil, "", errors.New("too many requests")
}

func hangs(ctx context.Context, _ string, _ []byte) ([]byte, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

// rig is a running gateway with a fake Lambda host and an HTTP client that reaches it.
type rig struct {
	*gateway.Gateway
	t    *testing.T
	host *fakeHost
	base string
	http *http.Client
	dial func(context.Context) (net.Conn, error)
}

// start serves on loopback; startPiped in memory, where nothing is buffered and testing/synctest owns the clock.
func start(t *testing.T, cfg gateway.Config) *rig {
	if cfg.Limits.CloseWait == 0 {
		cfg.Limits.CloseWait = 100 * time.Millisecond // many of these clients never answer a close frame
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, cfg, l, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
}

func startPiped(t *testing.T, cfg gateway.Config) *rig {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	return serve(t, cfg, l, l.dial)
}

func serve(t *testing.T, cfg gateway.Config, l net.Listener, dial func(context.Context) (net.Conn, error)) *rig {
	t.Helper()
	r := &rig{t: t, dial: dial, base: "http://gateway.test/prod",
		host: &fakeHost{functions: map[string]gateway.InvokerFunc{}, seen: map[string]chan []byte{}}}
	g, err := gateway.New(cfg, r.host)
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = g
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true, // no headers but those that a test names
	}
	r.http = &http.Client{Transport: transport}
	server := &http.Server{Handler: g}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = g.Close(ctx)
		_ = server.Close()
		transport.CloseIdleConnections()
		serving.Wait()
	})
	return r
}

// pipes is a net.Listener without a network.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// event waits for the next event of function.
func (r *rig) event(function string) events.APIGatewayWebsocketProxyRequest {
	r.t.Helper()
	var ev events.APIGatewayWebsocketProxyRequest
	if err := json.Unmarshal(r.raw(function), &ev); err != nil {
		r.t.Fatal(err)
	}
	return ev
}

func (r *rig) raw(function string) []byte {
	r.t.Helper()
	select {
	case payload := <-r.host.events(function):
		return payload
	case <-time.After(patience):
		r.t.Fatalf("function %s was not invoked", function)
		return nil
	}
}

// noEvent is for moments when an event would have come already.
func (r *rig) noEvent(function string) {
	r.t.Helper()
	select {
	case payload := <-r.host.events(function):
		r.t.Fatalf("unexpected invocation of %s: %s", function, payload)
	default:
	}
}

// open connects a client and returns it with its connection id.
func (r *rig) open() (*websocket.Conn, string) {
	r.t.Helper()
	ws, _, err := websocket.Dial(r.t.Context(), r.base, &websocket.DialOptions{HTTPClient: r.http})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(-1)
	return ws, r.event("connect").RequestContext.ConnectionID
}

// upgrade sends an upgrade request and returns the answer, whatever it is.
func (r *rig) upgrade(target string, edit func(http.Header)) *http.Response {
	r.t.Helper()
	_, resp := r.upgradeConn(target, edit)
	return resp
}

// upgradeConn is upgrade by hand, with the bare connection.
func (r *rig) upgradeConn(target string, edit func(http.Header)) (net.Conn, *http.Response) {
	r.t.Helper()
	conn, err := r.dial(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(24 * time.Hour))
	req, err := http.NewRequest(http.MethodGet, "http://gateway.test"+target, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if edit != nil {
		edit(req.Header)
	}
	if err := req.Write(conn); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, resp
}

// call sends one request to the management API.
func (r *rig) call(method, path, body string) (status int, header http.Header, text string) {
	r.t.Helper()
	resp, err := r.request(method, path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (r *rig) request(method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://gateway.test"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return r.http.Do(req)
}

func (r *rig) post(id, body string) int {
	r.t.Helper()
	status, _, _ := r.call(http.MethodPost, "/prod/@connections/"+id, body)
	return status
}

// read returns the next message of a client.
func (r *rig) read(ws *websocket.Conn) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	kind, b, err := ws.Read(ctx)
	if err != nil || kind != websocket.MessageText {
		r.t.Fatalf("read: %v %v", kind, err)
	}
	return string(b)
}

func (r *rig) send(ws *websocket.Conn, text string) {
	r.t.Helper()
	if err := ws.Write(r.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// closedWith reads until the server closes and checks its close frame.
func (r *rig) closedWith(ws *websocket.Conn, code int, reason string) {
	r.t.Helper()
	for {
		_, _, err := ws.Read(r.t.Context())
		if err == nil {
			continue
		}
		var frame websocket.CloseError
		if !errors.As(err, &frame) || int(frame.Code) != code || frame.Reason != reason {
			r.t.Fatalf("closed with %v, want %d %q", err, code, reason)
		}
		return
	}
}

// disconnected waits for $disconnect and checks what it says.
func (r *rig) disconnected(id string, code int64, reason string) {
	r.t.Helper()
	rc := r.event("disconnect").RequestContext
	got := "absent"
	if rc.DisconnectReason != nil {
		got = *rc.DisconnectReason
	}
	if rc.ConnectionID != id || rc.DisconnectStatusCode != code || got != reason {
		r.t.Fatalf("$disconnect of %s says %d %q, want %s %d %q", rc.ConnectionID, rc.DisconnectStatusCode, got, id, code, reason)
	}
}

func failure(message, id, requestID string) string {
	return fmt.Sprintf(`{"message": %q, "connectionId":%q, "requestId":%q}`, message, id, requestID)
}
