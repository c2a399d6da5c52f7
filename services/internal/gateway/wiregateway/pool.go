package wiregateway

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"
)

// maxDials is how many handshakes are under way at a time. They take turns on the CPU, so that more of
// them at a time bring the first socket later; and the first one's session makes the others cheaper.
const maxDials = 4

// pool has the sockets: as many as are needed at a time, at most. It may be used concurrently.
type pool struct {
	dial func(context.Context) (net.Conn, error)
	size int
	// trust is for how long an unused socket is trusted.
	trust time.Duration

	ctx    context.Context // of dials
	cancel context.CancelFunc
	dials  sync.WaitGroup

	mu      sync.Mutex
	idle    []*socket // the latest used last
	waiting []*waiter // the longest first
	open    int       // those in use and those being dialed among them
	dialing int
	closed  bool
}

// waiter is a post that waits for a socket. It gets one, or why it gets none.
type waiter struct{ granted chan grant }

type grant struct {
	socket *socket
	err    error
}

func newPool(size int, trust time.Duration, dial func(context.Context) (net.Conn, error)) *pool {
	p := &pool{dial: dial, size: size, trust: trust}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// close closes the sockets that nobody uses, and returns when no dial is under way any more. Those in use
// are closed when they are put back.
func (p *pool) close() {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drain()
	p.dials.Wait()
}

// take returns a socket: an idle one, or whichever comes first, one that is put back or a new one.
func (p *pool) take(ctx context.Context, now, deadline time.Time) (*socket, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, net.ErrClosed
	}
	if s := p.newest(now); s != nil {
		p.mu.Unlock()
		return s, nil
	}
	w := &waiter{make(chan grant, 1)}
	p.waiting = append(p.waiting, w)
	p.dialMore()
	p.mu.Unlock()

	timer := time.NewTimer(deadline.Sub(now))
	defer timer.Stop()
	err := context.DeadlineExceeded
	select {
	case g := <-w.granted:
		return g.socket, g.err
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.leave(w)
	return nil, err
}

// newest returns the idle socket that was used last, if it can be trusted. If it cannot, the others can
// even less.
func (p *pool) newest(now time.Time) *socket {
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	s := p.idle[n-1]
	if now.Sub(s.used) < p.trust {
		p.idle = p.idle[:n-1]
		return s
	}
	p.closeIdle()
	return nil
}

// leave lets a post wait no longer. It may have been granted a socket meanwhile.
func (p *pool) leave(w *waiter) {
	p.mu.Lock()
	at := slices.Index(p.waiting, w)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	p.mu.Unlock()
	if at >= 0 {
		return
	}
	if g := <-w.granted; g.err == nil {
		p.put(g.socket)
	}
}

// put brings a socket back that can be used again.
func (p *pool) put(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		p.open--
		s.close()
	case len(p.waiting) > 0:
		p.grant(grant{socket: s})
	default:
		p.idle = append(p.idle, s)
	}
}

// drop closes a socket that was taken.
func (p *pool) drop(s *socket) {
	s.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.dialMore()
}

// drain closes the sockets that nobody uses.
func (p *pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeIdle()
}

func (p *pool) closeIdle() {
	for _, s := range p.idle {
		s.close()
	}
	p.open -= len(p.idle)
	p.idle = nil
}

// grant gives the longest waiting post what it waits for.
func (p *pool) grant(g grant) {
	p.waiting[0].granted <- g
	p.waiting = slices.Delete(p.waiting, 0, 1)
}

// dialMore dials for those who wait.
func (p *pool) dialMore() {
	for !p.closed && p.open < p.size && p.dialing < min(len(p.waiting), maxDials) {
		p.open++
		p.dialing++
		p.dials.Go(p.dialOne)
	}
}

func (p *pool) dialOne() {
	conn, err := p.dial(p.ctx)
	if err == nil {
		p.put(newSocket(conn))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		p.open--
		if len(p.waiting) > 0 {
			p.grant(grant{err: err})
		}
	}
	p.dialMore()
}

// dialer returns a dial and its handshake, if there is one.
func dialer(address string, secure *tls.Config, timeout time.Duration) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if secure == nil {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
		return (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", address)
	}
}
