package query

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/problem"
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

// The time after which a client is to try again when the fault is ours: it differs, so that not all come
// back at the same time.
const (
	minRetry = time.Second
	maxRetry = 4 * time.Second
)

// maxText is the longest pointer or detail that the contract allows.
const maxText = 1024

// problemOf is the problem that an error is to the client.
func problemOf(err error) problem.Problem {
	if p, ok := errors.AsType[problem.Problem](err); ok {
		return p
	}
	if invalid, ok := errors.AsType[contracts.Invalid](err); ok {
		p := problem.Problem{Status: http.StatusBadRequest, Code: contracts.ErrorCodeInvalid, Pointer: invalid.Pointer, Rule: invalid.Keyword}
		if len(p.Pointer) > maxText {
			p.Pointer = ""
		}
		p.Detail = strings.TrimSpace(strings.TrimPrefix(p.Pointer, "/")+" "+invalid.Message) + "."
		if len(p.Detail) > maxText {
			p.Detail = invalid.Message + "."
		}
		return p
	}
	switch fault.KindOf(err) {
	case fault.Transient, fault.Throttled:
		return problem.Problem{
			Status: http.StatusServiceUnavailable, Code: contracts.ErrorCodeUnavailable, Detail: "Try again later.",
			After: minRetry + rand.N(maxRetry-minRetry),
		}
	}
	return problem.Problem{Status: http.StatusInternalServerError, Code: contracts.ErrorCodeUnavailable, Detail: "The fault is ours, and somebody must mend it."}
}
