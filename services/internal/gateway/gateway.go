// Package gateway is the port to the WebSocket API: it posts frames to connections, and closes them.
package gateway

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// MaxFrame is the most bytes that a post may carry; more is TooLarge. Frames stay far below, so
// that each is one unit of billing and one WebSocket frame of 32 KB:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const MaxFrame = 128 << 10

// Gateway posts to connections. It may be called concurrently, also for one connection, though
// then the order in which the frames arrive is not known.
type Gateway interface {
	// Post sends one text frame, once: it never retries. It gives up after timeout, which must be
	// positive, or a little later, or when ctx ends. One frame may be posted to many connections at a
	// time. Success means that the gateway has accepted the frame, not that the client has read it. The
	// text of an error tells neither the connection nor the frame, and its kind is the whole verdict:
	//
	//	Gone        the connection was closed, never was, or has not finished its handshake
	//	Throttled   the account's rate is used up, or the client reads too slowly
	//	TooLarge    the frame is above [MaxFrame]
	//	Denied      the id is malformed, or permission or address are wrong: an operator's case
	//	Transient   an outage, a time-out, or no answer: the frame may have arrived
	Post(ctx context.Context, connectionID string, f *Frame, timeout time.Duration) error
}

// Closer closes connections. It may be called concurrently.
type Closer interface {
	// Disconnect closes a connection, once: it never retries. One that has gone is closed. The client sees
	// an ordinary end, with code 1000. It gives up after timeout, which must be positive, or when ctx ends.
	// The text of an error does not tell the connection, and its kind is one of those of Post.
	Disconnect(ctx context.Context, connectionID string, timeout time.Duration) error
}

// KindOf is what a status of the @connections API means, unless it is a success.
// https://docs.aws.amazon.com/apigatewaymanagementapi/latest/reference/API_PostToConnection.html
func KindOf(status int) fault.Kind {
	switch {
	case status == http.StatusGone:
		return fault.Gone
	case status == http.StatusTooManyRequests:
		return fault.Throttled
	case status == http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case status == http.StatusRequestTimeout, status >= 500, status < 400:
		return fault.Transient // below 400: an answer that could not be read
	}
	return fault.Denied
}

// Frame is the text of a post. It never changes, and what signing it costs is spent once, however
// many connections get it. It may be used concurrently.
type Frame struct {
	text []byte
	hash func() [sha256.Size]byte
}

// NewFrame returns a frame of this text, which is the frame's from now on.
func NewFrame(text []byte) *Frame {
	return &Frame{text: text, hash: sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(text) })}
}

// Text returns the text, which must not be changed.
func (f *Frame) Text() []byte { return f.text }

// Hash returns the SHA-256 of the text.
func (f *Frame) Hash() [sha256.Size]byte { return f.hash() }
