package lambdahost

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"
)

// newServer serves the four calls of the Runtime API that a runtime needs.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (s *sandbox) newServer() *http.Server {
	mux := http.NewServeMux()
	handle := func(pattern string, serve http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.enter.Lock()
			if s.ended {
				s.enter.Unlock()
				return
			}
			s.handlers.Add(1)
			s.enter.Unlock()
			defer s.handlers.Done()
			serve(w, r)
		})
	}
	handle("GET /2018-06-01/runtime/invocation/next", s.serveNext)
	handle("POST /2018-06-01/runtime/invocation/{id}/response", s.serveResponse)
	handle("POST /2018-06-01/runtime/invocation/{id}/error", s.serveError)
	handle("POST /2018-06-01/runtime/init/error", s.serveInitError)
	return &http.Server{
		Handler:     mux,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:    log.New(io.Discard, "", 0), // what matters is seen from the process's end
	}
}

type connKey struct{}

// ask is a call of `next` that waits for its event.
type ask struct {
	events chan *invocation
	over   chan struct{} // closed when nobody waits any more
	conn   *watchedConn
}

// unread tells, once the process is dead, whether it certainly died with the event unread: then its end of the
// connection was reset instead of closed. In doubt it is false.
func (a *ask) unread(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-a.conn.closed:
		return a.conn.reset.Load() && !a.conn.answered.Load()
	case <-timer.C:
		return false
	}
}

func (s *sandbox) serveNext(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(*watchedConn)
	a := &ask{events: make(chan *invocation), over: make(chan struct{}), conn: conn}
	conn.answered.Store(false)
	defer close(a.over)
	select {
	case s.asked <- a:
	case <-r.Context().Done():
		return
	case <-s.exited:
		return
	}
	select {
	case inv := <-a.events:
		if r.Context().Err() != nil { // it went in the same instant
			conn.reset.Store(true)
			return
		}
		deliver(w, inv)
	case <-r.Context().Done():
	case <-s.exited:
	}
}

func deliver(w http.ResponseWriter, inv *invocation) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	header.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	header.Set("Lambda-Runtime-Invoked-Function-Arn", inv.arn)
	header.Set("Lambda-Runtime-Trace-Id", inv.traceID)
	if inv.clientContext != "" {
		header.Set("Lambda-Runtime-Client-Context", inv.clientContext)
	}
	// The head goes out first. Sent to a process that is dead already it is answered by a reset, so that sending the
	// body fails and the event counts as not delivered.
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return
	}
	_, _ = w.Write(inv.payload) // a failure is recorded by the connection
	_ = control.Flush()
}

func (s *sandbox) serveResponse(w http.ResponseWriter, r *http.Request) {
	s.serveAnswer(w, r, false)
}

func (s *sandbox) serveError(w http.ResponseWriter, r *http.Request) {
	s.serveAnswer(w, r, true)
}

func (s *sandbox) serveAnswer(w http.ResponseWriter, r *http.Request, failed bool) {
	inv := s.current.Load()
	if inv == nil || inv.id != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	s.listener.answering()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxResponse))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)
		inv.answer(failure("Function.ResponseSizeTooLarge", message))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxResponse))
		return
	} else if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body broke off")
		return
	}
	a := answer{payload: body, failed: failed}
	// A response whose reader fails half-way says so in trailers.
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" && !failed {
		a = failure(kind, "the response broke off")
		if document, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body")); err == nil && json.Valid(document) {
			a.payload = document
		}
	}
	if !inv.answer(a) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "this invocation was answered before")
		return
	}
	accept(w)
}

func (s *sandbox) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxResponse))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body broke off or is too large")
		return
	}
	if s.state.Load() != Starting {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "initialisation is over")
		return
	}
	if !json.Valid(body) {
		body = failure(r.Header.Get("Lambda-Runtime-Function-Error-Type"), "initialisation failed").payload
	}
	select {
	case s.initError <- answer{payload: body, failed: true}:
		accept(w)
	default:
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "an initialisation error was posted before")
	}
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(failure(kind, message).payload)
}
