package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// cause is why a connection ended: what the client sees in the close frame, and $disconnect in its event.
type cause struct {
	code   int
	reason string
	byPeer bool // the client has closed, or is lost: no close frame is owed
}

var (
	causeGoingAway = cause{code: int(websocket.StatusGoingAway), reason: "Going away"}
	causeDeleted   = cause{code: int(websocket.StatusNormalClosure), reason: "Connection Closed Normally"}
	causeTooBig    = cause{code: int(websocket.StatusMessageTooBig)}
	causeBinary    = cause{code: int(websocket.StatusUnsupportedData)}
	causeNotText   = cause{code: int(websocket.StatusInvalidFramePayloadData)}
)

var (
	errGone = errors.New("connection is gone")
	errFull = errors.New("the reader's buffer is full")
)

// connection is one client. Its reader is the goroutine of the upgrade request; its writer is one more. Only the writer
// closes the WebSocket, so that what was accepted goes out before the close frame.
type connection struct {
	id     string
	client client
	limits Limits
	split  int // Assumed.PushFrame

	queue   chan []byte
	slots   chan struct{} // messages in functions
	ending  chan struct{} // closed by end
	written chan struct{} // closed when the writer is done, and the socket closed

	ws   *websocket.Conn // set by attach, before reader and writer start
	sock net.Conn        // likewise

	mu         sync.Mutex
	queued     int // bytes in queue or being written
	lastActive time.Time
	ended      bool
	why        cause
	cut        *time.Timer // from end to the cutting of the socket
	idle       *time.Timer
}

func newConnection(who client, limits Limits, split int) *connection {
	return &connection{
		id:         newID(),
		client:     who,
		limits:     limits,
		split:      split,
		lastActive: who.connectedAt,
		queue:      make(chan []byte, limits.SendFrames),
		slots:      make(chan struct{}, limits.MessagesInFlight),
		ending:     make(chan struct{}),
		written:    make(chan struct{}),
	}
}

// offer queues p for the client without waiting. It returns errGone or errFull. It keeps p.
func (c *connection) offer(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return errGone
	}
	if c.queued+len(p) > c.limits.SendBytes {
		return errFull
	}
	select {
	case c.queue <- p:
		c.queued += len(p)
		return nil
	default:
		return errFull
	}
}

// end records why the connection ends and starts the writer's last work. It reports whether it is the first to do so.
func (c *connection) end(why cause) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.ended, c.why = true, why
	close(c.ending)
	c.armCut()
	return true
}

// armCut bounds the time from end to the closed socket. The caller holds mu.
func (c *connection) armCut() {
	if c.ended && c.sock != nil && c.cut == nil {
		c.cut = time.AfterFunc(c.limits.CloseWait, func() { _ = c.sock.Close() })
	}
}

// attach gives the connection its socket.
func (c *connection) attach(ws *websocket.Conn, sock net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws, c.sock = ws, sock
	c.armCut()
}

// detach releases what attach and watchIdle hold, after the socket is closed.
func (c *connection) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []*time.Timer{c.cut, c.idle} {
		if t != nil {
			t.Stop()
		}
	}
}

func (c *connection) endedWhy() (cause, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why, c.ended
}

// touch notes a message in either direction.
func (c *connection) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastActive = time.Now()
}

func (c *connection) active() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastActive
}

// watchIdle calls expired once nothing was active for Limits.Idle. One timer serves: activity moves a time, not the timer.
func (c *connection) watchIdle(expired func()) {
	if c.limits.Idle < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = time.AfterFunc(c.limits.Idle, func() {
		c.mu.Lock()
		left := c.limits.Idle - time.Since(c.lastActive)
		if left > 0 && !c.ended {
			c.idle.Reset(left)
		}
		c.mu.Unlock()
		if left <= 0 {
			expired()
		}
	})
}

// read hands each text message to handle until the socket, or the client's conduct, ends the connection, and says which.
// After Limits.MaxMessage or a frame is exceeded it reads no more: the writer's close handshake discards the rest.
func (c *connection) read(lost cause, handle func(body []byte)) cause {
	for {
		// No deadline: cutting the socket ends the read.
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return causeOf(err, lost)
		}
		if kind != websocket.MessageText {
			return causeBinary
		}
		body, err := io.ReadAll(io.LimitReader(r, int64(c.limits.MaxMessage)+1))
		switch {
		case err != nil:
			return causeOf(err, lost)
		case len(body) > c.limits.MaxMessage:
			return causeTooBig
		case !utf8.Valid(body):
			return causeNotText
		}
		if why, ended := c.endedWhy(); ended {
			return why
		}
		c.touch()
		handle(body)
	}
}

func causeOf(err error, lost cause) cause {
	var frame websocket.CloseError
	switch {
	case errors.Is(err, errFrameTooBig):
		return causeTooBig
	case !errors.As(err, &frame):
		return lost
	case frame.Code == websocket.StatusNoStatusRcvd:
		return cause{code: int(frame.Code), reason: "Client-side close frame status not set", byPeer: true}
	default:
		return cause{code: int(frame.Code), reason: frame.Reason, byPeer: true}
	}
}

// write empties the queue until end, then writes what is left and closes the WebSocket.
func (c *connection) write() {
	defer close(c.written)
	for open := true; open; {
		select {
		case p := <-c.queue:
			open = c.send(p) == nil
		case <-c.ending:
			open = false
		}
	}
	// A failed send is seen by the reader too, which knows better why: perhaps the client's close frame is waiting there.
	<-c.ending
	why, _ := c.endedWhy()
	if why.byPeer {
		_ = c.ws.CloseNow()
		return
	}
	c.drain()
	_ = c.ws.Close(websocket.StatusCode(why.code), why.reason)
}

func (c *connection) drain() {
	for {
		select {
		case p := <-c.queue:
			if c.send(p) != nil {
				return
			}
		default:
			return
		}
	}
}

// send writes one message. It blocks for as long as the client does not read; the socket's end unblocks it.
func (c *connection) send(p []byte) error {
	err := c.sendFrames(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued -= len(p)
	if err == nil {
		c.lastActive = time.Now()
	}
	return err
}

func (c *connection) sendFrames(p []byte) error {
	ctx := context.Background()
	if c.split == 0 || len(p) <= c.split {
		return c.ws.Write(ctx, websocket.MessageText, p)
	}
	w, err := c.ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for len(p) > 0 {
		n := min(len(p), c.split)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return w.Close()
}
