package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const subprotocolHeader = "Sec-WebSocket-Protocol"

// connect takes an upgrade request through its life: admission, $connect, the open socket, $disconnect.
func (g *Gateway) connect(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable")
		return
	}
	defer g.running.Done()

	if len(r.RequestURI) > g.cfg.Limits.MaxURL {
		refuse(w, http.StatusRequestURITooLong, "BadRequestException", "Request-URI Too Long")
		return
	}
	if status, fault := checkUpgrade(r); fault != "" {
		refuse(w, status, "BadRequestException", fault)
		return
	}
	if !g.connects.take(time.Now()) {
		refuse(w, http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests")
		return
	}
	c := newConnection(clientOf(r, time.Now()), g.cfg.Limits, g.cfg.Assumed.PushFrame)
	if !g.authorize(w, r, c) {
		return
	}
	answer, ok := g.runConnect(w, r, c)
	if !ok {
		return
	}
	g.serve(w, r, c, answer)
}

// runConnect runs the $connect route, if there is one, and answers the upgrade request unless the client is accepted.
func (g *Gateway) runConnect(w http.ResponseWriter, r *http.Request, c *connection) (response, bool) {
	function, ok := g.cfg.Routes[routeConnect]
	if !ok {
		return response{StatusCode: http.StatusOK}, true
	}
	ev := g.connectEvent(c, r)
	answer, err := g.integrate(g.life, c, function, ev)
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(g.connectStatus(err))
		_, _ = w.Write(failureFrame("Internal server error", c.id, ev.RequestContext.RequestID))
		return response{}, false
	}
	if answer.StatusCode > 299 {
		g.cfg.Logger.InfoContext(r.Context(), "gateway: connection rejected", logID(c.id), "status", answer.StatusCode)
		g.reject(w, answer)
		return response{}, false
	}
	return answer, true
}

// connectStatus is the answer to an upgrade whose $connect failed.
func (g *Gateway) connectStatus(err error) int {
	switch {
	case errors.Is(err, errTimeout):
		return g.cfg.Assumed.ConnectTimeoutStatus
	case errors.Is(err, errMalformed):
		return g.cfg.Assumed.ConnectMalformedStatus
	case errors.Is(err, errUnreachable):
		return g.cfg.Assumed.ConnectUnreachableStatus
	default:
		return http.StatusBadGateway
	}
}

func (g *Gateway) reject(w http.ResponseWriter, answer response) {
	if !g.cfg.Assumed.RejectBody {
		w.WriteHeader(answer.StatusCode)
		return
	}
	for name, value := range answer.Headers {
		w.Header().Set(name, fmt.Sprint(value))
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write([]byte(answer.Body))
}

// serve upgrades and runs the connection to its end, $disconnect included.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, c *connection, answer response) {
	log := g.cfg.Logger.With(logID(c.id))
	ctx := context.WithoutCancel(r.Context())

	// Registered before 101 goes out: a client that has seen 101 must be found. What is posted meanwhile waits in the queue.
	g.register(c)
	up := &upgrader{ResponseWriter: w, maxFrame: g.cfg.Limits.MaxFrame, socketBuffer: g.cfg.Limits.SocketBuffer}
	ws, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		Subprotocols:       answer.header(subprotocolHeader),
		InsecureSkipVerify: true, // API Gateway does not look at Origin
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived: func(context.Context, []byte) bool {
			if g.cfg.Assumed.PingKeepsAlive {
				c.touch()
			}
			return true
		},
	})
	lost := cause{code: g.cfg.Assumed.LostCode, reason: g.cfg.Assumed.LostReason, byPeer: true}
	if err != nil {
		log.WarnContext(ctx, "gateway: upgrade failed after $connect", "err", err)
		g.end(c, lost)
	} else {
		g.run(c, ws, up.sock, lost)
	}
	why, _ := c.endedWhy()
	ended := log.With("code", why.code, "duration_ms", time.Since(c.client.connectedAt).Milliseconds())
	if !why.byPeer { // what a client gives as its reason may be anything
		ended = ended.With("reason", why.reason)
	}
	ended.InfoContext(ctx, "gateway: connection ended")
	g.disconnect(c, why)
}

// run reads and writes until the socket is closed.
func (g *Gateway) run(c *connection, ws *websocket.Conn, sock *frameConn, lost cause) {
	ws.SetReadLimit(-1) // read enforces the limit, so that the rest can be discarded before the socket closes
	c.attach(ws, sock)
	defer c.detach()
	defer context.AfterFunc(g.life, func() { _ = sock.Close() })()

	select {
	case <-g.closing: // Close began before this connection was registered
		g.end(c, causeGoingAway)
	default:
	}
	if g.cfg.Limits.Lifetime > 0 {
		over := cause{code: g.cfg.Assumed.LifetimeCode, reason: g.cfg.Assumed.LifetimeReason}
		defer time.AfterFunc(g.cfg.Limits.Lifetime, func() { g.end(c, over) }).Stop()
	}
	c.watchIdle(func() { g.end(c, causeGoingAway) })

	go c.write()
	g.end(c, c.read(lost, func(body []byte) { g.receive(c, body) }))
	<-c.written
}

// disconnect runs the $disconnect route, if there is one, after the socket is closed.
func (g *Gateway) disconnect(c *connection, why cause) {
	function, ok := g.cfg.Routes[routeDisconnect]
	if !ok || g.cfg.Disconnect.Drop {
		return
	}
	if g.cfg.Disconnect.Delay > 0 {
		delay := time.NewTimer(g.cfg.Disconnect.Delay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-g.closing:
		}
	}
	_, _ = g.integrate(g.life, c, function, g.disconnectEvent(c, why)) // best effort: integrate has logged
}

// checkUpgrade is what websocket.Accept would refuse, asked before $connect runs for it.
func checkUpgrade(r *http.Request) (status int, fault string) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.Header.Get("Sec-WebSocket-Key")))
	switch {
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return http.StatusUpgradeRequired, "Upgrade Required"
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return http.StatusBadRequest, "Unsupported WebSocket version"
	case err != nil || len(key) != 16 || len(r.Header.Values("Sec-WebSocket-Key")) != 1:
		return http.StatusBadRequest, "Invalid Sec-WebSocket-Key"
	default:
		return 0, ""
	}
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		if slices.ContainsFunc(strings.Split(line, ","), func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), token)
		}) {
			return true
		}
	}
	return false
}
