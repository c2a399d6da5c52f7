// Package gateway is the port to the WebSocket API: it posts frames to connections.
package gateway

import "context"

// MaxFrame is the most bytes that a post may carry; more is TooLarge. Frames stay far below, so
// that each is one unit of billing and one WebSocket frame of 32 KB:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const MaxFrame = 128 << 10

// Gateway posts to connections. It may be called concurrently, also for one connection, though
// then the order in which the frames arrive is not known.
type Gateway interface {
	// Post sends one text frame, once: it never retries. It keeps no hold of frame and does not
	// change it, so one frame may be posted to many connections at a time. Success means that
	// the gateway has accepted the frame, not that the client has read it. The text of an error
	// tells neither the connection nor the frame, and its kind is the whole verdict:
	//
	//	Gone        the connection was closed, never was, or has not finished its handshake
	//	Throttled   the account's rate is used up, or the client reads too slowly
	//	TooLarge    the frame is above [MaxFrame]
	//	Denied      the id is malformed, or permission or address are wrong: an operator's case
	//	Transient   an outage, a time-out, or no answer: the frame may have arrived
	Post(ctx context.Context, connectionID string, frame []byte) error
}
