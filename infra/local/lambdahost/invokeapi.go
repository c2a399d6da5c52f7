package lambdahost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	// maxPosted bounds the events of type Event that are under way.
	maxPosted = 256
	// maxEvent is the largest event of an asynchronous invocation, in bytes (AWS: 1 MB; 256 KB until 2025).
	maxEvent = 1 << 20
)

// Handler serves the Invoke call of the Lambda API, for any AWS client that AWS_ENDPOINT_URL_LAMBDA leads here.
// Signatures are not checked.
//
// An invocation of type Event is answered by 202 and then run once; AWS would run a failing one twice more. While the
// function is throttled it waits.
//
// Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (h *Host) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", h.serveInvoke)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		deny(w, http.StatusNotFound, "UnknownOperationException", "only Invoke is served here", "")
	})
	return mux
}

func (h *Host) serveInvoke(w http.ResponseWriter, r *http.Request) {
	name, err := h.resolve(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		deny(w, http.StatusNotFound, "ResourceNotFoundException", err.Error(), "")
		return
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	limit := int64(MaxPayload)
	switch kind {
	case "", "RequestResponse":
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	case "Event":
		limit = maxEvent
	default:
		deny(w, http.StatusBadRequest, "InvalidParameterValueException", "invocation type is RequestResponse, Event or DryRun", "")
		return
	}
	req, status, problem := readRequest(w, r, limit)
	switch status {
	case http.StatusOK:
	case http.StatusRequestEntityTooLarge:
		deny(w, status, "RequestTooLargeException", problem, "")
		return
	default:
		deny(w, status, "InvalidRequestContentException", problem, "")
		return
	}
	if kind == "Event" {
		h.post(w, name, req)
		return
	}
	result, err := h.invoke(r.Context(), name, req)
	if err != nil {
		denyError(w, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Amz-Executed-Version", result.Version)
	header.Set("X-Amzn-Requestid", result.RequestID)
	if result.FunctionError != "" {
		header.Set("X-Amz-Function-Error", result.FunctionError)
	}
	_, _ = w.Write(result.Payload)
}

func readRequest(w http.ResponseWriter, r *http.Request, limit int64) (req request, status int, problem string) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return req, http.StatusRequestEntityTooLarge, fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit)
	} else if err != nil {
		return req, http.StatusBadRequest, "could not read the request"
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		return req, http.StatusBadRequest, "Could not parse request body into json"
	}
	req = request{payload: payload, traceID: r.Header.Get("X-Amzn-Trace-Id")}
	if encoded := r.Header.Get("X-Amz-Client-Context"); encoded != "" {
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		var compact bytes.Buffer // it becomes a header: one line
		if err != nil || json.Compact(&compact, decoded) != nil {
			return req, http.StatusBadRequest, "Client context must be a valid Base64-encoded JSON object."
		}
		req.clientContext = compact.String()
	}
	return req, http.StatusOK, ""
}

// post runs an Event in the background, until the host closes.
func (h *Host) post(w http.ResponseWriter, name string, req request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		denyError(w, ErrClosed)
		return
	}
	select {
	case h.posted <- struct{}{}:
	default:
		denyError(w, ErrThrottled)
		return
	}
	h.work.Go(func() {
		defer func() { <-h.posted }()
		h.runPosted(name, req)
	})
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(http.StatusAccepted)
}

func (h *Host) runPosted(name string, req request) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		result, err := h.invoke(context.Background(), name, req)
		switch {
		case err == nil && result.FunctionError == "":
			return
		case err == nil:
			h.logger.Warn("asynchronous invocation failed", "function", name, "request_id", result.RequestID)
			return
		case !errors.Is(err, ErrThrottled):
			h.logger.Warn("asynchronous invocation was not made", "function", name, "err", err)
			return
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-h.closing:
			return
		}
	}
}

// resolve takes a function's name, partial ARN or ARN, each with or without a qualifier.
func (h *Host) resolve(reference, qualifier string) (string, error) {
	short := strings.TrimPrefix(reference, "arn:aws:lambda:"+h.region+":")
	short = strings.TrimPrefix(short, h.account+":function:")
	name, suffix, qualified := strings.Cut(short, ":")
	if qualified {
		qualifier = suffix
	}
	if _, known := h.functions[name]; known && (qualifier == "" || qualifier == Version) {
		return name, nil
	}
	full := reference
	if !strings.HasPrefix(reference, "arn:") {
		full = h.arn(name)
		if qualifier != "" {
			full += ":" + qualifier
		}
	}
	return "", fmt.Errorf("Function not found: %s", full) //nolint:staticcheck // AWS's words
}

func denyError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrThrottled):
		deny(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded")
	case errors.Is(err, ErrClosed):
		deny(w, http.StatusServiceUnavailable, "ServiceException", "the host is closing", "")
	default:
		deny(w, http.StatusInternalServerError, "ServiceException", "the function could not be run", "")
	}
}

func deny(w http.ResponseWriter, status int, kind, message, reason string) {
	document := map[string]string{"Type": "User", "Message": message, "message": message}
	if status >= http.StatusInternalServerError {
		document["Type"] = "Service"
	}
	if reason != "" {
		document["Reason"] = reason
	}
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
