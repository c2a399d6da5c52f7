// Package wiregateway posts through the @connections API of Amazon API Gateway with as little work as the
// wire allows: one signature that is made in about a microsecond, one write and one read for each post, on
// HTTP/1.1 connections that are kept alive, without allocating.
//
// It is for the hot path. It knows POST alone, honours no proxy, and speaks to one host;
// awsgateway, on the SDK's client, is its second and does both.
package wiregateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/sigv4"
)

const op = "gateway.Post"

// Options say where to post and as whom.
type Options struct {
	// Endpoint is https://{api-id}.execute-api.{region}.amazonaws.com/{stage}, without /@connections.
	Endpoint string
	Region   string
	// Credentials should be cached, as those of aws.Config are: they are asked for at each post.
	Credentials aws.CredentialsProvider
	// Connections is how many sockets there are at most, and so how many posts are in flight.
	// Defaults to 64.
	Connections int
	// DialTimeout ends a dial and its handshake. Defaults to 3 s.
	DialTimeout time.Duration
	// IdleTimeout is for how long an unused socket is trusted. Defaults to 90 s.
	IdleTimeout time.Duration
	// TLS is the base of the configuration of https. Defaults to the system's roots.
	TLS *tls.Config
}

// Gateway is a [gateway.Gateway]. Close it when it is done.
type Gateway struct {
	options Options
	address string
	host    string // as in the header
	path    string // up to the connection id
	tls     *tls.Config
	signers sync.Pool
	skew    atomic.Int64 // nanoseconds that the service's clock is ahead of ours

	slots chan struct{}
	mu    sync.Mutex
	idle  []*socket // the latest used last
	done  bool
}

var _ gateway.Gateway = (*Gateway)(nil)

// New returns a gateway, or an error if the endpoint is no http or https address. It dials when it first
// posts.
func New(o Options) (*Gateway, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o.Credentials == nil || o.Region == "" {
		return nil, fault.Newf("gateway.New", fault.Invalid, "needs an endpoint that begins with https:// and a host, a region and credentials")
	}
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 3 * time.Second
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 90 * time.Second
	}
	g := &Gateway{
		options: o, host: u.Host, address: u.Host, path: u.EscapedPath(),
		slots:   make(chan struct{}, o.Connections),
		signers: sync.Pool{New: func() any { return sigv4.New(o.Region) }},
	}
	for len(g.path) > 0 && g.path[len(g.path)-1] == '/' {
		g.path = g.path[:len(g.path)-1]
	}
	g.path += "/@connections/"
	if u.Scheme == "https" {
		g.tls = o.TLS.Clone()
		if g.tls == nil {
			g.tls = &tls.Config{}
		}
		g.tls.MinVersion = tls.VersionTLS12
		g.tls.NextProtos = []string{"http/1.1"}
		g.tls.ClientSessionCache = tls.NewLRUClientSessionCache(o.Connections)
		if g.tls.ServerName == "" {
			g.tls.ServerName = u.Hostname()
		}
	}
	if u.Port() == "" {
		port := "80"
		if g.tls != nil {
			port = "443"
		}
		g.address = net.JoinHostPort(u.Hostname(), port)
	}
	return g, nil
}

// Close closes the sockets. Posts in flight end by themselves, and later ones fail.
func (g *Gateway) Close() error {
	g.mu.Lock()
	idle := g.idle
	g.idle, g.done = nil, true
	g.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
	return nil
}

// Post makes one POST. If it was sent on a socket that had been idle, and the service had closed that
// meanwhile, it is sent once more on a new one: the first was not answered, and if it had arrived all the same,
// its updates carry versions.
func (g *Gateway) Post(ctx context.Context, connectionID string, f *gateway.Frame) error {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
		case <-ctx.Done():
			return fault.New(op, fault.Transient, context.Cause(ctx))
		}
	}
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}
	credentials, err := g.options.Credentials.Retrieve(ctx)
	if err != nil {
		return fault.New(op, fault.Denied, errors.New("no credentials"))
	}
	a, err := g.exchange(ctx, credentials, connectionID, f)
	if err == nil && a.status == 403 && g.learnSkew(a.date) {
		a, err = g.exchange(ctx, credentials, connectionID, f)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fault.New(op, fault.Transient, context.Cause(ctx))
	case err != nil:
		return fault.New(op, fault.Transient, err)
	case a.status/100 == 2:
		return nil
	}
	return fault.Newf(op, gateway.KindOf(a.status), "status %d", a.status)
}

// exchange sends the request and reads the answer.
func (g *Gateway) exchange(ctx context.Context, c aws.Credentials, id string, f *gateway.Frame) (answer, error) {
	s, err := g.take(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := g.once(ctx, s, c, id, f)
	if err == nil || !s.stale(err) || ctx.Err() != nil {
		return a, err
	}
	if s, err = g.dial(ctx); err != nil {
		return answer{}, err
	}
	return g.once(ctx, s, c, id, f)
}

func (g *Gateway) once(ctx context.Context, s *socket, c aws.Credentials, id string, f *gateway.Frame) (answer, error) {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		s.close()
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, s.interrupt)
	s.request = g.request(s.request[:0], c, id, f)
	a, err := s.exchange()
	interrupted := !stop()
	if err != nil || !a.keep || interrupted {
		s.close()
		return a, err
	}
	g.give(s)
	return a, nil
}

// request writes the whole request.
func (g *Gateway) request(b []byte, c aws.Credentials, id string, f *gateway.Frame) []byte {
	b = append(b, "POST "...)
	begin := len(b)
	b = append(b, g.path...)
	b = sigv4.AppendEscaped(b, id)
	end := len(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, g.host...)
	b = append(b, "\r\nContent-Type: "+sigv4.ContentType+"\r\nAuthorization: "...)
	signer := g.signers.Get().(*sigv4.Signer)
	var date string
	at := time.Now().Add(time.Duration(g.skew.Load()))
	b, date = signer.Sign(b, c, sigv4.Request{Host: g.host, Path: b[begin:end:end], Length: len(f.Text()), Hash: f.Hash(), Time: at})
	g.signers.Put(signer)
	b = append(b, "\r\nX-Amz-Date: "...)
	b = append(b, date...)
	if c.SessionToken != "" {
		b = append(b, "\r\nX-Amz-Security-Token: "...)
		b = append(b, c.SessionToken...)
	}
	b = fmt.Appendf(b, "\r\nContent-Length: %d\r\n\r\n", len(f.Text()))
	return append(b, f.Text()...)
}

// take returns an idle socket, or a new one.
func (g *Gateway) take(ctx context.Context) (*socket, error) {
	g.mu.Lock()
	if g.done {
		g.mu.Unlock()
		return nil, net.ErrClosed
	}
	if n := len(g.idle); n > 0 {
		s := g.idle[n-1]
		g.idle = g.idle[:n-1]
		g.mu.Unlock()
		if time.Since(s.used) < g.options.IdleTimeout {
			return s, nil
		}
		s.close()
		g.closeIdle() // the others were used even longer ago
		return g.dial(ctx)
	}
	g.mu.Unlock()
	return g.dial(ctx)
}

func (g *Gateway) closeIdle() {
	g.mu.Lock()
	idle := g.idle
	g.idle = nil
	g.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
}

func (g *Gateway) give(s *socket) {
	s.used, s.reused = time.Now(), true
	g.mu.Lock()
	if g.done {
		g.mu.Unlock()
		s.close()
		return
	}
	g.idle = append(g.idle, s)
	g.mu.Unlock()
}

func (g *Gateway) dial(ctx context.Context) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, g.options.DialTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", g.address)
	if err != nil {
		return nil, err
	}
	if g.tls != nil {
		secure := tls.Client(conn, g.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = secure
	}
	return newSocket(conn), nil
}

// maxSkew is how far clocks may differ: AWS refuses signatures that are older than five minutes.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
const maxSkew = 4 * time.Minute

// learnSkew notes how far our clock is off, and reports whether that may be why we were refused.
func (g *Gateway) learnSkew(theirs time.Time) bool {
	if theirs.IsZero() {
		return false
	}
	skew := time.Until(theirs)
	if (skew - time.Duration(g.skew.Load())).Abs() < maxSkew {
		return false
	}
	g.skew.Store(int64(skew))
	return true
}
