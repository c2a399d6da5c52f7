package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// manage serves the @connections API:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
func (g *Gateway) manage(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := splitPath(r.URL)
	id := strings.TrimPrefix(rest, "@connections/")
	if !g.requests.take(time.Now()) {
		refuse(w, http.StatusTooManyRequests, "LimitExceededException", "Too Many Requests")
		return
	}
	if g.cfg.WantSignature && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") {
		refuse(w, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	}
	if !wellFormed(id) {
		refuse(w, http.StatusBadRequest, "BadRequestException", "Invalid connectionId: "+id)
		return
	}
	switch r.Method {
	case http.MethodPost:
		g.post(w, r, id)
	case http.MethodGet:
		g.get(w, id)
	case http.MethodDelete:
		g.remove(w, id)
	default:
		refuse(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
	}
}

func (g *Gateway) post(w http.ResponseWriter, r *http.Request, id string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(g.cfg.Limits.MaxPost)+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequestException", "Incomplete request body")
		return
	}
	if len(body) > g.cfg.Limits.MaxPost {
		refuse(w, http.StatusRequestEntityTooLarge, "PayloadTooLargeException", "Payload Too Large")
		return
	}
	c, ok := g.lookup(id)
	if !ok {
		gone(w)
		return
	}
	switch err := c.offer(body); {
	case errors.Is(err, errGone):
		gone(w)
	case errors.Is(err, errFull):
		refuse(w, http.StatusTooManyRequests, "LimitExceededException", "Too Many Requests")
	default:
		stamp(w)
		w.WriteHeader(http.StatusOK)
	}
}

func (g *Gateway) get(w http.ResponseWriter, id string) {
	c, ok := g.lookup(id)
	if !ok {
		gone(w)
		return
	}
	stamp(w)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		ConnectedAt  string   `json:"connectedAt"`
		Identity     identity `json:"identity"`
		LastActiveAt string   `json:"lastActiveAt"`
	}{iso(c.client.connectedAt), c.client.identity, iso(c.active())})
}

// remove answers without waiting for the client to take the close frame.
func (g *Gateway) remove(w http.ResponseWriter, id string) {
	c, ok := g.lookup(id)
	if !ok {
		gone(w)
		return
	}
	g.end(c, causeDeleted)
	stamp(w)
	w.WriteHeader(http.StatusNoContent)
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// gone answers 410 as AWS does: without a body, the error's name in a header.
func gone(w http.ResponseWriter) {
	stamp(w)
	w.Header().Set("x-amzn-ErrorType", "GoneException")
	w.WriteHeader(http.StatusGone)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	stamp(w)
	w.Header().Set("x-amzn-ErrorType", kind)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(map[string]string{"message": message}) // strings always marshal
	_, _ = w.Write(text)
}

// stamp adds the ids by which AWS would find the request.
func stamp(w http.ResponseWriter) {
	w.Header().Set("x-amzn-RequestId", newRequestUUID())
	w.Header().Set("x-amz-apigw-id", newID())
}
