package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The predefined route keys.
const (
	routeConnect    = "$connect"
	routeDisconnect = "$disconnect"
	routeDefault    = "$default"
)

// selection is a parsed route selection expression: the member names that lead to the route key in a JSON message.
type selection []string

func parseSelection(expression string) (selection, error) {
	inner := expression
	if braced, ok := strings.CutPrefix(expression, "${"); ok {
		if inner, ok = strings.CutSuffix(braced, "}"); !ok {
			return nil, fmt.Errorf("gateway: RouteSelection %q has no closing brace", expression)
		}
		inner = "$" + inner
	}
	path, ok := strings.CutPrefix(inner, "$request.body.")
	names := strings.Split(path, ".")
	for _, name := range names {
		ok = ok && name != "" && !strings.ContainsAny(name, "${}[] ")
	}
	if !ok {
		return nil, fmt.Errorf("gateway: RouteSelection %q is not $request.body.name or ${request.body.name}", expression)
	}
	return names, nil
}

// key returns what the expression selects in body, as text, or "" if body is not JSON or has no such scalar.
func (s selection) key(body []byte) string {
	for _, name := range s {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return ""
		}
		body = object[name] // absent: not JSON, so the next step returns ""
	}
	var value any
	if json.Unmarshal(body, &value) != nil {
		return ""
	}
	switch v := value.(type) {
	case string:
		return v
	case bool, float64:
		return strings.TrimSpace(string(body)) // as written
	default:
		return ""
	}
}

// route returns the route of a message and its function.
func (g *Gateway) route(body []byte) (key, function string, ok bool) {
	key = g.selection.key(body)
	// $connect and $disconnect are events, which a client cannot send.
	if function, ok = g.cfg.Routes[key]; ok && key != routeConnect && key != routeDisconnect {
		return key, function, true
	}
	function, ok = g.cfg.Routes[routeDefault]
	return routeDefault, function, ok
}

// receive handles one client message without waiting for its function.
func (g *Gateway) receive(c *connection, body []byte) {
	if !g.requests.take(time.Now()) {
		g.tell(c, g.cfg.Assumed.ThrottledMessage, newID())
		return
	}
	key, function, ok := g.route(body)
	if !ok {
		g.tell(c, "Forbidden", newID())
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		g.tell(c, g.cfg.Assumed.ThrottledMessage, newID())
		return
	}
	// Safe beside Close's Wait: the calling goroutine is itself counted.
	g.running.Go(func() {
		defer func() { <-c.slots }()
		ev := g.messageEvent(c, key, string(body))
		if _, err := g.integrate(g.life, c, function, ev); err != nil {
			g.tell(c, "Internal server error", ev.RequestContext.RequestID)
		}
	})
}

// tell sends the client one of the gateway's own frames. A reader too slow to take it does without.
func (g *Gateway) tell(c *connection, message, requestID string) {
	if err := c.offer(failureFrame(message, c.id, requestID)); errors.Is(err, errFull) {
		g.cfg.Logger.WarnContext(g.life, "gateway: frame dropped, the reader's buffer is full", logID(c.id), "message", message)
	}
}

// failureFrame is spaced as AWS spaces it.
func failureFrame(message, connectionID, requestID string) []byte {
	text, _ := json.Marshal(message) // a string always marshals
	return fmt.Appendf(nil, `{"message": %s, "connectionId":"%s", "requestId":"%s"}`, text, connectionID, requestID)
}
