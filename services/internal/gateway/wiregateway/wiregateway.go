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
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
	credentials aws.CredentialsProvider
	host        string       // as in the header
	path        string       // up to the connection id
	writers     sync.Pool    // of *writer
	skew        atomic.Int64 // nanoseconds that the service's clock is ahead of ours
	sockets     *pool
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
	return &Gateway{
		credentials: o.Credentials, host: u.Host,
		path:    strings.TrimRight(u.EscapedPath(), "/") + "/@connections/",
		writers: sync.Pool{New: func() any { return &writer{signer: sigv4.New(o.Region)} }},
		sockets: newPool(o.Connections, o.IdleTimeout, dialer(addressOf(u), o.secure(u), o.DialTimeout)),
	}, nil
}

func addressOf(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), u.Scheme)
}

// secure is the configuration of TLS, or nil for http.
func (o Options) secure(u *url.URL) *tls.Config {
	if u.Scheme != "https" {
		return nil
	}
	c := o.TLS.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	c.MinVersion = tls.VersionTLS12
	c.NextProtos = []string{"http/1.1"}
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1) // of one host
	c.DynamicRecordSizingDisabled = true                   // a post is one write, from the first on
	if c.ServerName == "" {
		c.ServerName = u.Hostname()
	}
	return c
}

// Close closes the sockets, and returns when no dial is under way. Posts in flight end by themselves, and
// later ones fail.
func (g *Gateway) Close() error {
	g.sockets.close()
	return nil
}

// Post makes one POST, which ends within the timeout, or 3% more. If it was sent on a socket that had been
// idle, and the service had closed that meanwhile, it is sent once more on another: the first was not
// answered, and if it had arrived all the same, its updates carry versions.
func (g *Gateway) Post(ctx context.Context, connectionID string, f *gateway.Frame, timeout time.Duration) error {
	if ctx.Err() != nil {
		return fault.New(op, fault.Transient, context.Cause(ctx))
	}
	credentials, err := g.credentials.Retrieve(ctx)
	if err != nil {
		return fault.New(op, fault.Transient, errors.New("no credentials"))
	}
	r := post{credentials: credentials, id: connectionID, frame: f, at: time.Now(), timeout: timeout}
	a, err := g.exchange(ctx, r)
	if err == nil && a.status == http.StatusForbidden && g.learnSkew(a.date) {
		a, err = g.exchange(ctx, r)
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

// post is what Post is called with.
type post struct {
	credentials aws.Credentials
	id          string
	frame       *gateway.Frame
	at          time.Time // when it was called: one look at the clock serves all that comes
	timeout     time.Duration
}

// timeoutSlack is the part of its timeout by which a post may end later than that.
const timeoutSlack = 32

func (p post) deadline() time.Time { return p.at.Add(p.timeout) }

// exchange sends the request and reads the answer.
func (g *Gateway) exchange(ctx context.Context, r post) (answer, error) {
	a, stale, err := g.try(ctx, r)
	if stale {
		g.sockets.drain() // the others were idle for even longer
		a, _, err = g.try(ctx, r)
	}
	return a, err
}

// try makes one exchange on one socket. It reports whether the service had closed that before.
func (g *Gateway) try(ctx context.Context, r post) (a answer, stale bool, err error) {
	s, err := g.sockets.take(ctx, r.at, r.deadline())
	if err != nil {
		return answer{}, false, err
	}
	if err := s.use(ctx, r.deadline(), r.timeout/timeoutSlack); err != nil {
		g.sockets.drop(s)
		return answer{}, false, err
	}
	if err = g.send(s, r); err == nil {
		a, err = s.read()
	}
	if err != nil || !a.keep {
		g.sockets.drop(s)
		return a, err != nil && s.stale(err) && ctx.Err() == nil, err
	}
	s.used, s.reused = r.at, true
	g.sockets.put(s)
	return a, false, nil
}

// writer is what a request is written with. Few are in use at a time, however many sockets there are, so their
// memory stays in the processor's cache.
type writer struct {
	signer *sigv4.Signer
	text   []byte
}

// send writes the request to a socket.
func (g *Gateway) send(s *socket, r post) error {
	w := g.writers.Get().(*writer)
	defer g.writers.Put(w)
	g.compose(w, r)
	return s.write(w.text)
}

// compose makes the text of the whole request.
func (g *Gateway) compose(w *writer, r post) {
	text := r.frame.Text()
	b := append(w.text[:0], "POST "...)
	begin := len(b)
	b = append(b, g.path...)
	b = sigv4.AppendEscaped(b, r.id)
	end := len(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, g.host...)
	b = append(b, "\r\nContent-Type: "+sigv4.ContentType+"\r\nAuthorization: "...)
	var date string
	at := r.at.Add(time.Duration(g.skew.Load()))
	b, date = w.signer.Sign(b, r.credentials, sigv4.Request{Host: g.host, Path: b[begin:end:end], Length: len(text), Hash: r.frame.Hash(), Time: at})
	b = append(b, "\r\nX-Amz-Date: "...)
	b = append(b, date...)
	if token := r.credentials.SessionToken; token != "" {
		b = append(b, "\r\nX-Amz-Security-Token: "...)
		b = append(b, token...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n\r\n"...)
	w.text = append(b, text...)
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
