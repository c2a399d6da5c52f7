package iam

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

const (
	// maxRequest is more than the largest request that the servers take, which is DynamoDB's, 16 MB:
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Limits.html
	maxRequest = 17 << 20
	// idleConnections is how many connections to a server are kept: at least as many as the deployables have in use.
	idleConnections = 512
	// idleTimeout is less than any server's own.
	idleTimeout = 30 * time.Second
)

// Proxy passes on to the servers what their callers were granted. One address is for all: a request is for the service
// that its signature names. Make one with [Authority.Proxy], and Close it.
type Proxy struct {
	authority *Authority
	servers   map[string]*httputil.ReverseProxy // by the service
	transport *http.Transport
}

// Proxy returns a proxy in front of servers, by the services for which they sign: dynamodb, sns, sqs. A server that does not
// answer looks so to its callers, who are cut off.
func (a *Authority) Proxy(servers map[string]string, log *slog.Logger) (*Proxy, error) {
	p := &Proxy{authority: a, servers: map[string]*httputil.ReverseProxy{}, transport: &http.Transport{
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleTimeout, DisableCompression: true,
	}}
	for service, address := range servers {
		to, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		p.servers[service] = &httputil.ReverseProxy{
			Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
			Transport:    p.transport,
			ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		}
	}
	return p, nil
}

// Close lets go of the servers.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, signed := signatureOf(r.Header)
	server := p.servers[s.service]
	if !signed || server == nil || !p.authority.callers[s.key] {
		tell(w, http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		tell(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The request is too large, or ended early.")
		return
	}
	if denied := p.authority.allow(calls(s, r.Header, body)); denied != nil {
		refuse(w, *denied, s.region)
		return
	}
	// It can be read again, if a connection that was kept turns out to be closed.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(body))
	server.ServeHTTP(w, r)
}

// Guard passes on what its callers were granted of the management API of a WebSocket API. Who is no deployable may do
// anything: what they are is the gateway's business.
func (a *Authority) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := signatureOf(r.Header)
		if a.callers[s.key] {
			if denied := a.allow([]Call{{s.key, managing, r.Method}}); denied != nil {
				refuse(w, *denied, s.region)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
