package lambdahost

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"
)

// invocation is one event on its way through one sandbox, or through two if the first died before it got it.
type invocation struct {
	id            string
	arn           string
	traceID       string
	clientContext string
	payload       []byte
	deadline      time.Time // set before delivery
	answered      atomic.Bool
	answers       chan answer // takes the first answer
}

// answer is what ends an invocation.
type answer struct {
	payload []byte
	failed  bool
}

func newInvocation(req request, arn string) *invocation {
	inv := &invocation{
		id:            newUUID(),
		arn:           arn,
		traceID:       req.traceID,
		clientContext: req.clientContext,
		payload:       append([]byte(nil), req.payload...),
		answers:       make(chan answer, 1),
	}
	if inv.traceID == "" {
		inv.traceID = newTraceID()
	}
	return inv
}

// answer records what the function posted; it is false if there was an answer before.
func (inv *invocation) answer(a answer) bool {
	if !inv.answered.CompareAndSwap(false, true) {
		return false
	}
	inv.answers <- a
	return true
}

func (inv *invocation) result(a answer) Result {
	r := Result{Payload: a.payload, Version: Version, RequestID: inv.id}
	if a.failed {
		r.FunctionError = "Unhandled"
	}
	return r
}

// timedOut is the answer that AWS gives for a function that was killed at its deadline.
func (inv *invocation) timedOut(after time.Duration) answer {
	return failure("", fmt.Sprintf("%s Task timed out after %.2f seconds", inv.id, after.Seconds()))
}

// exited is the answer that AWS gives for a runtime that ended without answering.
func (inv *invocation) exited(how string) answer {
	return failure("Runtime.ExitError", "RequestId: "+inv.id+" Error: "+how)
}

func failure(kind, message string) answer {
	payload, err := json.Marshal(struct {
		Type    string `json:"errorType,omitempty"`
		Message string `json:"errorMessage"`
	}{kind, message})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return answer{payload: payload, failed: true}
}

// newUUID returns a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// newTraceID returns an X-Ray header that says not to sample, as there is nobody to send segments to.
func newTraceID() string {
	var b [20]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), b[:12], b[12:])
}
