package wiregateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/gateway/awsgateway"
	"github.com/iops-dashboard/live/services/internal/gateway/gatewaytest"
	"github.com/iops-dashboard/live/services/internal/gateway/wiregateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id    = "Jx-TaE0_GjQFvSw="
	limit = 10 * time.Second // of a post that is not to time out
)

var static = credentials.NewStaticCredentialsProvider("AKID", "secret", strings.Repeat("token+/", 100))

func open(t testing.TB, endpoint string, change func(*wiregateway.Options)) *wiregateway.Gateway {
	t.Helper()
	o := wiregateway.Options{Endpoint: endpoint + "/prod", Region: "us-east-1", Credentials: static}
	if change != nil {
		change(&o)
	}
	g, err := wiregateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

// roots trust a test server.
func roots(server *httptest.Server) *tls.Config {
	return server.Client().Transport.(*http.Transport).TLSClientConfig
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("http", func(t *testing.T) {
		gatewaytest.Run(t, func(t *testing.T) gatewaytest.Harness {
			s := gatewaytest.NewService()
			server := httptest.NewServer(verified(t, s))
			t.Cleanup(server.Close)
			return s.Harness(open(t, server.URL, nil))
		})
	})
	t.Run("https", func(t *testing.T) {
		gatewaytest.Run(t, func(t *testing.T) gatewaytest.Harness {
			s := gatewaytest.NewService()
			server := httptest.NewTLSServer(verified(t, s))
			t.Cleanup(server.Close)
			return s.Harness(open(t, server.URL, func(o *wiregateway.Options) { o.TLS, o.Connections = roots(server), 3 }))
		})
	})
}

// verified refuses to serve what the SDK's own signer would have signed otherwise.
func verified(t *testing.T, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Errorf("date: %v", err)
		}
		again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.EscapedPath(), bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		again.Header.Set("Content-Type", r.Header.Get("Content-Type"))
		sum := sha256.Sum256(body)
		c, _ := static.Retrieve(r.Context())
		if err := v4.NewSigner().SignHTTP(context.Background(), c, again, hex.EncodeToString(sum[:]), "execute-api", "us-east-1", at); err != nil {
			t.Error(err)
		}
		if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
			t.Errorf("authorization\n got %s\nwant %s", got, want)
		}
		next.ServeHTTP(w, r)
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]wiregateway.Options{
		"a wss address":  {Endpoint: "wss://x/prod", Region: "r", Credentials: static},
		"no host":        {Endpoint: "https:///prod", Region: "r", Credentials: static},
		"no region":      {Endpoint: "https://x/prod", Credentials: static},
		"no credentials": {Endpoint: "https://x/prod", Region: "r"},
	} {
		if _, err := wiregateway.New(o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// raw is a server that answers each request with the next of some texts, and counts its connections. An
// empty answer closes the connection instead.
type raw struct {
	net.Listener
	mu       sync.Mutex
	answers  []string
	requests atomic.Int64
	conns    atomic.Int64
	served   sync.WaitGroup
}

func serveRaw(t *testing.T, answers ...string) *raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{Listener: l, answers: answers}
	r.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			r.served.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.served.Wait()
	})
	return r
}

func (r *raw) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		r.requests.Add(1)
		r.mu.Lock()
		answer := ""
		if len(r.answers) > 0 {
			answer = r.answers[0]
			r.answers = r.answers[1:]
		}
		r.mu.Unlock()
		if answer == "" {
			return
		}
		_, _ = io.WriteString(conn, answer)
	}
}

// settle returns when each request that was sent has been counted, and takes no more. The senders must have closed
// their connections.
func (r *raw) settle(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil { // it was accepted, and so was each before it
		t.Fatal(err)
	}
	_ = r.Close()
	r.served.Wait()
}

func (r *raw) url() string { return "http://" + r.Addr().String() }

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func TestAnswers(t *testing.T) {
	t.Parallel()
	transient := fault.Transient
	gone := fault.Gone
	for name, tc := range map[string]struct {
		answers []string
		kind    *fault.Kind // of the first post; nil for success
		conns   int64       // after a second one, which succeeds
	}{
		"kept alive":             {[]string{ok, ok}, nil, 1},
		"HTTP/1.0":               {[]string{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ok}, nil, 2},
		"connection: close":      {[]string{"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", ok}, nil, 2},
		"chunked":                {[]string{"HTTP/1.1 410 Gone\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", ok}, &gone, 1},
		"chunked, with trailers": {[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nX: y\r\n\r\n", ok}, nil, 1},
		"chunked, cut off":       {[]string{"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ok}, &gone, 2},
		"chunked, 1 MB":          {[]string{"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + strings.Repeat("x", 100_000), ok}, &gone, 2},
		"chunked and a length":   {[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", ok}, &transient, 2},
		"another encoding":       {[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", ok}, &transient, 2},
		"two lengths":            {[]string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\nx", ok}, &transient, 2},
		"one length twice":       {[]string{"HTTP/1.1 410 Gone\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", ok}, &gone, 1},
		"no length":              {[]string{"HTTP/1.1 410 Gone\r\n\r\n", ok}, &gone, 2},
		"a body":                 {[]string{"HTTP/1.1 410 Gone\r\ncontent-length: 5\r\n\r\nhello", ok}, &gone, 1},
		"a body of 60 KB":        {[]string{"HTTP/1.1 410 Gone\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60000), ok}, &gone, 1},
		"a body of 1 MB":         {[]string{"HTTP/1.1 410 Gone\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000), ok}, &gone, 2},
		"1xx first":              {[]string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok, ok}, nil, 1},
		"204":                    {[]string{"HTTP/1.1 204 No Content\r\n\r\n", ok}, nil, 1},
		"no HTTP":                {[]string{"SSH-2.0-OpenSSH_9.9\r\n\r\n", ok}, &transient, 2},
		"no status":              {[]string{"HTTP/1.1 OK\r\n\r\n", ok}, &transient, 2},
		"a length that is none":  {[]string{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ok}, &transient, 2},
		"a header without colon": {[]string{"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", ok}, &transient, 2},
		"an endless header":      {[]string{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n", ok}, &transient, 2},
		"too many headers":       {[]string{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 5000) + "\r\n", ok}, &transient, 2},
		"cut in the status line": {[]string{"HTTP/1.1 2"}, &transient, 1},
		"somebody goes on":       {[]string{ok + "HTTP/1.1 410 Gone\r\n\r\n", ok}, nil, 2},
		"closed without a word":  {[]string{""}, &transient, 1},
		"endless informational":  {[]string{strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), ok}, &transient, 2},
		"a body that is cut off": {[]string{"HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n\r\nhe"}, &gone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serveRaw(t, tc.answers...)
			g := open(t, r.url(), nil)
			err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), time.Second)
			if (tc.kind == nil) != (err == nil) || tc.kind != nil && fault.KindOf(err) != *tc.kind {
				t.Fatalf("%v, want kind %v", err, tc.kind)
			}
			if len(tc.answers) < 2 {
				return
			}
			if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
				t.Errorf("the next: %v", err)
			}
			if got := r.conns.Load(); got != tc.conns {
				t.Errorf("%d connections, want %d", got, tc.conns)
			}
		})
	}
}

// API Gateway closes idle sockets, and a thawed Lambda finds them closed: the post is made once more, on a new
// one. Where the first was on a new one, it is not.
func TestAStaleSocketIsReplacedOnce(t *testing.T) {
	t.Parallel()
	r := serveRaw(t, ok, "", ok, "")
	g := open(t, r.url(), nil)
	for range 2 {
		if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.requests.Load(); got != 3 {
		t.Errorf("%d requests, want 3", got)
	}
	// The socket that is idle now is closed by the server at the next request, and so is the one after it.
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("%v", err)
	}
	if got := r.requests.Load(); got != 5 {
		t.Errorf("%d requests, want 5: one repetition and no more", got)
	}
}

// Each batch of a Lambda function has a context of its own, which ends with the batch. Its sockets serve the next.
func TestSocketsOutliveTheirContext(t *testing.T) {
	t.Parallel()
	r := serveRaw(t, ok, ok, ok, ok, ok, ok)
	g := open(t, r.url(), nil)
	for range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := g.Post(ctx, id, gateway.NewFrame([]byte("{}")), limit); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if got := r.conns.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestATimeoutIsNotRepeated(t *testing.T) {
	t.Parallel()
	r := serveRaw(t, ok, "HTTP/1.1 2") // and then silence
	g := open(t, r.url(), nil)
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), 50*time.Millisecond); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > limit/2 { // the deadline of the first has not come yet
		t.Errorf("it took %s", took)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	r.settle(t)
	if got := r.requests.Load(); got != 2 {
		t.Errorf("%d requests", got)
	}
}

// A clock that is wrong is noticed by the date of the refusal, and allowed for from then on.
func TestClockSkewIsLearned(t *testing.T) {
	t.Parallel()
	theirs := func() time.Time { return time.Now().Add(37 * time.Minute) }
	var refused atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		w.Header().Set("Date", theirs().UTC().Format(http.TimeFormat))
		if err != nil || theirs().Sub(at).Abs() > 5*time.Minute {
			refused.Add(1)
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	g := open(t, server.URL, nil)
	for range 3 {
		if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
			t.Fatal(err)
		}
	}
	if got := refused.Load(); got != 1 {
		t.Errorf("refused %d times", got)
	}
}

func TestAForbiddenPostIsNotRepeated(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	if err := open(t, server.URL, nil).Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); fault.KindOf(err) != fault.Denied {
		t.Errorf("%v", err)
	}
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests", got)
	}
}

// There are never more sockets than allowed, and who waits for one can be called off.
func TestSocketsAreBounded(t *testing.T) {
	t.Parallel()
	release, arrived := make(chan struct{}), make(chan struct{}, 10)
	var mu sync.Mutex
	var inFlight, most int
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inFlight += by
		most = max(most, inFlight)
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		count(1)
		arrived <- struct{}{}
		<-release
		count(-1)
	}))
	defer server.Close()
	g := open(t, server.URL, func(o *wiregateway.Options) { o.Connections = 2 })
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		select {
		case <-arrived:
		case <-time.After(limit):
			t.Error("nothing arrives")
		}
	}
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), 100*time.Millisecond); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("without a socket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Post(ctx, id, gateway.NewFrame([]byte("{}")), limit); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("called off: %v", err)
	}
	close(release)
	all.Wait()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if most != 2 {
		t.Errorf("%d posts in flight", most)
	}
}

func TestClosedGateway(t *testing.T) {
	t.Parallel()
	r := serveRaw(t, ok)
	g := open(t, r.url(), nil)
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Post(t.Context(), id, gateway.NewFrame([]byte("{}")), limit); fault.KindOf(err) != fault.Transient || err == nil {
		t.Errorf("%v", err)
	}
}

// BenchmarkPost compares the two adapters over TLS. The server is in the process, so its cost is in both.
func BenchmarkPost(b *testing.B) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = roots(server)
		t.MaxIdleConnsPerHost = 64
	})
	frame := gateway.NewFrame([]byte(strings.Repeat("x", 463)))
	for name, g := range map[string]gateway.Gateway{
		"wire": open(b, server.URL, func(o *wiregateway.Options) { o.TLS = roots(server) }),
		"sdk":  awsgateway.New(aws.Config{Region: "us-east-1", Credentials: static, HTTPClient: client}, server.URL+"/prod"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Post(b.Context(), id, frame, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
