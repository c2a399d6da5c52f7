package query

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
)

// answer is a document that was asked for, and what the log tells of it.
type answer struct {
	tag                    string // its ETag
	body                   []byte
	more                   bool
	rows, read, unreadable int
}

// tag is the ETag of what these rows answer. It covers the question, so that a browser that keeps answers can
// never be told that another tenant's is still right.
func (q question) tag(rows []contracts.DigestRow, next string) string {
	sum := sha256.Sum256([]byte(q.text() + "\n" + contracts.Digest(rows) + "\n" + next))
	return `W/"` + hex.EncodeToString(sum[:16]) + `"`
}

// response is the answer to who has what If-None-Match names.
func (a answer) response(ifNoneMatch string) events.APIGatewayV2HTTPResponse {
	r := events.APIGatewayV2HTTPResponse{StatusCode: http.StatusOK, Headers: map[string]string{
		"ETag": a.tag, "Cache-Control": "private, no-cache", "Vary": "Authorization",
	}}
	if matches(ifNoneMatch, a.tag) {
		r.StatusCode = http.StatusNotModified
		return r
	}
	r.Headers["Content-Type"] = "application/json"
	r.Body = string(a.body)
	return r
}

// matches compares weakly: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
func matches(ifNoneMatch, tag string) bool {
	for one := range strings.SplitSeq(ifNoneMatch, ",") { // none of our tags has a comma
		if one = strings.TrimSpace(one); one == "*" || one != "" && strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// refusal is a problem to be. It is an error that the client can mend, unless its status is 503.
type refusal struct {
	status        int
	code          contracts.ErrorCode
	detail        string
	pointer, rule string
	after         time.Duration // when to try again; zero: not at all
}

func (r refusal) Error() string { return "query: " + string(r.code) + ": " + r.detail }

// The time after which a client is to try again when the fault is ours: it differs, so that not all come
// back at the same time.
const (
	minRetry = time.Second
	maxRetry = 4 * time.Second
)

// maxText is the longest pointer or detail that the contract allows.
const maxText = 1024

// refusalOf is the problem that an error is to the client.
func refusalOf(err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	if fault, ok := errors.AsType[contracts.Invalid](err); ok {
		r := refusal{status: http.StatusBadRequest, code: contracts.ErrorCodeInvalid, pointer: fault.Pointer, rule: fault.Keyword}
		if len(r.pointer) > maxText {
			r.pointer = ""
		}
		r.detail = strings.TrimSpace(strings.TrimPrefix(r.pointer, "/")+" "+fault.Message) + "."
		if len(r.detail) > maxText {
			r.detail = fault.Message + "."
		}
		return r
	}
	return refusal{
		status: http.StatusServiceUnavailable, code: contracts.ErrorCodeUnavailable, detail: "Try again later.",
		after: minRetry + rand.N(maxRetry-minRetry),
	}
}

func (r refusal) response(requestID string) events.APIGatewayV2HTTPResponse {
	problem := contracts.ProblemV1{
		Type: "about:blank", Title: http.StatusText(r.status), Status: int64(r.status), Code: r.code, Detail: &r.detail,
	}
	if requestID != "" {
		problem.Instance = &requestID
	}
	if r.rule != "" {
		problem.Rule = &r.rule
	}
	if r.rule != "" || r.pointer != "" {
		problem.Pointer = &r.pointer
	}
	headers := map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
	if r.after > 0 {
		ms := r.after.Milliseconds() + 1
		problem.RetryAfterMS = &ms
		headers["Retry-After"] = strconv.FormatInt((ms+999)/1000, 10)
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: r.status, Headers: headers, Body: string(encode(problem))}
}
