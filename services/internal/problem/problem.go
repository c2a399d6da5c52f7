// Package problem refuses requests of an HTTP API: by problem details, contracts.ProblemV1.
package problem

import (
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/frame"
)

// Problem says why a request is refused. It is an error that the client can mend, unless its status is 500 or more.
type Problem struct {
	Status int
	Code   contracts.ErrorCode
	Detail string // for people; nothing of the insides
	// Pointer is where in the request the fault is, and Rule what it breaks; empty: not known.
	Pointer, Rule string
	After         time.Duration // when to try again; zero: not at all
}

func (p Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// Response is the answer, which nothing may cache. The request's id, if there is one, is for people to quote.
func (p Problem) Response(requestID string) events.APIGatewayV2HTTPResponse {
	body := contracts.ProblemV1{
		Type: "about:blank", Title: http.StatusText(p.Status), Status: int64(p.Status), Code: p.Code, Detail: &p.Detail,
	}
	if requestID != "" {
		body.Instance = &requestID
	}
	if p.Rule != "" {
		body.Rule = &p.Rule
	}
	if p.Rule != "" || p.Pointer != "" {
		body.Pointer = &p.Pointer
	}
	headers := map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
	if p.After > 0 {
		ms := p.After.Milliseconds() + 1
		body.RetryAfterMS = &ms
		headers["Retry-After"] = strconv.FormatInt((ms+999)/1000, 10)
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: p.Status, Headers: headers, Body: string(frame.Encode(body))}
}
