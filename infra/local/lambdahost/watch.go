package lambdahost

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// watchedListener knows its open connections, and how each one ended.
//
// The point is one question: a process died after an event was written to its socket; did it read it? A kernel that
// closes a socket with unread data resets the connection, and it answers data for a closed socket by a reset too,
// while a socket whose data was all read ends in an orderly way. A runtime calls its handler only with the whole
// event, so a reset before any answer means that the handler never ran.
type watchedListener struct {
	net.Listener

	mu   sync.Mutex
	open map[*watchedConn]struct{}
}

func watch(l net.Listener) *watchedListener {
	return &watchedListener{Listener: l, open: make(map[*watchedConn]struct{})}
}

// Accept implements net.Listener.
func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &watchedConn{Conn: conn, closed: make(chan struct{})}
	c.forget = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

func (l *watchedListener) connections() []*watchedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*watchedConn, 0, len(l.open))
	for c := range l.open {
		list = append(list, c)
	}
	return list
}

// answering notes that the runtime is answering, on whichever connection: it has read its event.
func (l *watchedListener) answering() {
	for _, c := range l.connections() {
		c.answered.Store(true)
	}
}

// drain waits for every connection to end, for at most limit.
func (l *watchedListener) drain(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, c := range l.connections() {
		select {
		case <-c.closed:
		case <-timer.C:
			return
		}
	}
}

type watchedConn struct {
	net.Conn
	reset    atomic.Bool // the other end went with data unread
	answered atomic.Bool // an answer came since the last `next`
	once     sync.Once
	closed   chan struct{}
	forget   func()
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.note(err)
	return n, err
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

func (c *watchedConn) note(err error) {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.reset.Store(true)
	}
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.forget()
		close(c.closed)
	})
	return err
}
