package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// How an integration fails.
var (
	errFailed      = errors.New("function failed")
	errTimeout     = errors.New("function timed out")
	errMalformed   = errors.New("malformed Lambda proxy response")
	errUnreachable = errors.New("function could not be invoked")
)

// response is a Lambda proxy response.
type response struct {
	StatusCode        int              `json:"statusCode"`
	Headers           map[string]any   `json:"headers"`
	MultiValueHeaders map[string][]any `json:"multiValueHeaders"`
	Body              string           `json:"body"`
}

// header returns the values of a header, whose name is matched in any case.
func (r response) header(name string) []string {
	var values []string
	for k, v := range r.Headers {
		if strings.EqualFold(k, name) {
			values = append(values, fmt.Sprint(v))
		}
	}
	for k, vs := range r.MultiValueHeaders {
		if strings.EqualFold(k, name) {
			for _, v := range vs {
				values = append(values, fmt.Sprint(v))
			}
		}
	}
	return values
}

// integrate runs function with ev. The error is one of the four above, and is logged here.
func (g *Gateway) integrate(ctx context.Context, c *connection, function string, ev event) (response, error) {
	began := time.Now()
	answer, err := g.call(ctx, function, ev)
	if err != nil {
		g.cfg.Logger.WarnContext(ctx, "gateway: integration failed", logID(c.id), "route_key", ev.RequestContext.RouteKey,
			"function", function, "err", err, "duration_ms", time.Since(began).Milliseconds())
	}
	return answer, err
}

func (g *Gateway) call(ctx context.Context, function string, ev event) (response, error) {
	reply, err := g.invoke(ctx, function, ev)
	if err != nil {
		return response{}, err
	}
	var answer response
	// The reply's own text is not for logs.
	if json.Unmarshal(reply, &answer) != nil || answer.StatusCode < 200 || answer.StatusCode > 599 {
		return response{}, errMalformed
	}
	return answer, nil
}

// invoke runs function with ev, an event of any form. With errFailed it returns the function's error document.
func (g *Gateway) invoke(ctx context.Context, function string, ev any) ([]byte, error) {
	payload, err := encode(ev)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Limits.IntegrationTimeout)
	defer cancel()
	reply, functionError, err := g.invoker.Invoke(ctx, function, payload)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errTimeout
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	case functionError != "":
		return reply, fmt.Errorf("%w: %s", errFailed, functionError)
	}
	return reply, nil
}

func encode(ev any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the escapes would make a message of "<" six times as large
	if err := e.Encode(ev); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
