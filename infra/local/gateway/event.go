package gateway

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// event is a Lambda proxy event of a WebSocket API. What does not apply is absent, never null:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html
type event struct {
	Headers                         map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders,omitempty"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters,omitempty"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters,omitempty"`
	StageVariables                  map[string]string   `json:"stageVariables,omitempty"`
	RequestContext                  requestContext      `json:"requestContext"`
	Body                            *string             `json:"body,omitempty"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
}

type requestContext struct {
	RouteKey             string   `json:"routeKey"`
	MessageID            string   `json:"messageId,omitempty"`
	DisconnectStatusCode int      `json:"disconnectStatusCode,omitempty"`
	EventType            string   `json:"eventType"`
	ExtendedRequestID    string   `json:"extendedRequestId"`
	RequestTime          string   `json:"requestTime"`
	MessageDirection     string   `json:"messageDirection"`
	DisconnectReason     *string  `json:"disconnectReason,omitempty"` // "" is a reason
	Stage                string   `json:"stage"`
	ConnectedAt          int64    `json:"connectedAt"`
	RequestTimeEpoch     int64    `json:"requestTimeEpoch"`
	Identity             identity `json:"identity"`
	RequestID            string   `json:"requestId"`
	DomainName           string   `json:"domainName"`
	ConnectionID         string   `json:"connectionId"`
	APIID                string   `json:"apiId"`
	// Authorizer is what the authorizer said: principalId, integrationLatency in milliseconds, and its context.
	Authorizer map[string]any `json:"authorizer,omitempty"`
}

// identity is also part of GET @connections.
type identity struct {
	UserAgent string `json:"userAgent,omitempty"`
	SourceIP  string `json:"sourceIp"`
}

// client is what the upgrade request says about who connects.
type client struct {
	host        string
	identity    identity
	connectedAt time.Time
	authorizer  map[string]any // nil without one
}

func clientOf(r *http.Request, now time.Time) client {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr // not a TCP listener
	}
	return client{host: r.Host, identity: identity{UserAgent: r.UserAgent(), SourceIP: ip}, connectedAt: now}
}

func (g *Gateway) newEvent(c *connection, routeKey, eventType string) event {
	now, id := time.Now(), newID()
	return event{
		StageVariables: g.cfg.StageVariables,
		RequestContext: requestContext{
			RouteKey:          routeKey,
			EventType:         eventType,
			MessageDirection:  "IN",
			ExtendedRequestID: id,
			RequestID:         id,
			RequestTime:       now.UTC().Format("02/Jan/2006:15:04:05 -0700"),
			RequestTimeEpoch:  now.UnixMilli(),
			Stage:             g.cfg.Stage,
			ConnectedAt:       c.client.connectedAt.UnixMilli(),
			Identity:          c.client.identity,
			DomainName:        g.cfg.DomainName,
			ConnectionID:      c.id,
			APIID:             g.cfg.APIID,
			Authorizer:        c.client.authorizer,
		},
	}
}

func (g *Gateway) connectEvent(c *connection, r *http.Request) event {
	ev := g.newEvent(c, routeConnect, "CONNECT")
	ev.MultiValueHeaders = proxyHeaders(r, c.client)
	ev.Headers = lastValues(ev.MultiValueHeaders)
	if query := r.URL.Query(); len(query) > 0 {
		ev.MultiValueQueryStringParameters = query
		ev.QueryStringParameters = lastValues(query)
	}
	return ev
}

func (g *Gateway) messageEvent(c *connection, routeKey string, body string) event {
	ev := g.newEvent(c, routeKey, "MESSAGE")
	ev.RequestContext.MessageID = newID()
	ev.Body = &body
	return ev
}

func (g *Gateway) disconnectEvent(c *connection, why cause) event {
	ev := g.newEvent(c, routeDisconnect, "DISCONNECT")
	ev.RequestContext.DisconnectStatusCode = why.code
	ev.RequestContext.DisconnectReason = &why.reason
	ev.MultiValueHeaders = map[string][]string{
		"Host": {c.client.host}, "x-api-key": {""}, "X-Forwarded-For": {""}, "x-restapi": {""},
	}
	ev.Headers = lastValues(ev.MultiValueHeaders)
	return ev
}

// proxyHeaders are the client's headers as $connect sees them: without those of the hop, with what the load balancer adds.
func proxyHeaders(r *http.Request, who client) map[string][]string {
	headers := make(map[string][]string, len(r.Header)+5)
	for name, values := range r.Header {
		switch name {
		case "Connection", "Upgrade", "Content-Length":
		default:
			if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok {
				name = "Sec-WebSocket-" + rest
			}
			headers[name] = values
		}
	}
	headers["Host"] = []string{who.host}
	forwarded := who.identity.SourceIP
	if before := r.Header.Values("X-Forwarded-For"); len(before) > 0 {
		forwarded = strings.Join(before, ", ") + ", " + forwarded
	}
	headers["X-Forwarded-For"] = []string{forwarded}
	// As on AWS, where clients always come by TLS.
	headers["X-Forwarded-Port"] = []string{"443"}
	headers["X-Forwarded-Proto"] = []string{"https"}
	if r.Header.Get("X-Amzn-Trace-Id") == "" {
		headers["X-Amzn-Trace-Id"] = []string{newTraceID(who.connectedAt)}
	}
	return headers
}

func lastValues(multi map[string][]string) map[string]string {
	single := make(map[string]string, len(multi))
	for name, values := range multi {
		single[name] = values[len(values)-1]
	}
	return single
}
