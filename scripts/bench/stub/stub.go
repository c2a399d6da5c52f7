// Package stub is a @connections server to send benchmarks to. It answers posts as API Gateway
// would, as fast as it can or as slowly as it is told, and keeps account of what each connection was
// sent: the newest revision of each entity, and how old updates were when they were accepted.
//
// It speaks HTTP/1.1 only, and understands of it what the clients of a bench say.
package stub

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Settings say how posts are answered.
type Settings struct {
	// LatencyMS is what the service itself takes for a post, on average.
	LatencyMS int `json:"latency_ms"`
	// Shares of the connections, by their ids, whose posts all have this fate: 410, 429 of one
	// reader, 500, and no answer at all.
	Gone      float64 `json:"gone"`
	Throttled float64 `json:"throttled"`
	Broken    float64 `json:"broken"`
	Silent    float64 `json:"silent"`
	// Rate is how many posts a second the account may make, and Burst how many at once. A rate of 0
	// is no limit.
	Rate  float64 `json:"rate"`
	Burst float64 `json:"burst"`
	// Verify wants a valid signature on each post. It is slow, and not for measurements.
	Verify bool `json:"verify"`
}

// Server is a stub. Its methods may be called concurrently.
type Server struct {
	mu       sync.Mutex
	settings Settings
	quota    *bucket
	account  *account

	conns sync.WaitGroup
}

// New returns a server that accepts everything at once.
func New() *Server {
	s := &Server{}
	s.Reset(Settings{})
	return s
}

// Reset forgets all that was posted, and answers by other settings from now on.
func (s *Server) Reset(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings, s.account, s.quota = settings, newAccount(), nil
	if settings.Rate > 0 {
		s.quota = newBucket(settings.Rate, settings.Burst, time.Now())
	}
}

// Serve answers on l until the context ends, and then closes l and all its connections.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer s.conns.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.conns.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			defer c.Close()
			s.converse(c)
		})
	}
}

// converse answers the requests of one connection, one after the other, until it is closed.
func (s *Server) converse(c net.Conn) {
	in, out := newRequestReader(c), []byte(nil)
	for {
		r, err := in.next()
		if err != nil {
			return
		}
		status := s.decide(&r)
		if status == silence {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		out = appendAnswer(out[:0], status, time.Now())
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// silence is the status of a post that is never answered.
const silence = -1

// decide gives a post its fate, after the time that the service takes, and records it.
func (s *Server) decide(r *request) int {
	s.mu.Lock()
	settings, quota, account := s.settings, s.quota, s.account
	s.mu.Unlock()

	status, genuine := http.StatusOK, true
	switch {
	case string(r.method) != http.MethodPost || len(r.id) == 0:
		status = http.StatusForbidden
	case settings.Verify:
		if genuine = verify(r, time.Now()) == nil; !genuine {
			status = http.StatusForbidden
		}
	}
	if status == http.StatusOK {
		status = settings.fate(r.id)
	}
	if status != silence && quota != nil && !quota.take(time.Now()) {
		status = http.StatusTooManyRequests
	} else if settings.LatencyMS > 0 && status != silence {
		time.Sleep(settings.latency())
	}
	account.record(r, status, genuine, time.Now())
	return status
}

// latency is what the service takes for one post: LatencyMS on average, and up to a quarter more or
// less. Were it always the same, posts that once came together would do so for ever, and their queue
// would be measured in place of the sender.
func (s Settings) latency() time.Duration {
	return time.Duration(float64(s.LatencyMS) * (0.75 + rand.Float64()/2) * float64(time.Millisecond))
}

// fate is how all posts to a connection end. The same connections have it in every run.
func (s Settings) fate(id []byte) int {
	h := fnv.New32a()
	_, _ = h.Write(id)
	place := float64(h.Sum32()) / (1 << 32)
	for _, band := range []struct {
		share  float64
		status int
	}{
		{s.Gone, http.StatusGone}, {s.Throttled, http.StatusTooManyRequests},
		{s.Broken, http.StatusInternalServerError}, {s.Silent, silence},
	} {
		if place -= band.share; place < 0 {
			return band.status
		}
	}
	return http.StatusOK
}

// Listen opens a port of the loopback interface, with TLS if there is a certificate.
func Listen(certificate *tls.Certificate) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil || certificate == nil {
		return l, err
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	}), nil
}

var errRequest = errors.New("not a request that a bench makes")
