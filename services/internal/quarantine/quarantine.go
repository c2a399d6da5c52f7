// Package quarantine is the port to the place where records rest that cannot become events: each
// with its payload and the reason, so that it can be looked at, mended and replayed.
package quarantine

import (
	"context"
	"time"
)

// Reason says why a record could not become an event. It never quotes the payload at length.
type Reason struct {
	// Code is the rule that was broken, a short constant such as "maximum" or "tenant".
	Code string
	// Pointer is a JSON Pointer (RFC 6901) into the payload; empty for the whole of it.
	Pointer string
	// Message is for people.
	Message string
}

// Record is one quarantined stream record. All but Payload, Reason and At is empty where it could
// not be read out of the payload.
type Record struct {
	// Payload is the stream record as Lambda delivered it.
	Payload []byte
	Reason  Reason
	// At is when the record was quarantined, to the millisecond.
	At time.Time

	Source      string // ARN of the stream
	EventID     string
	Sequence    string
	Tenant      string
	EntityType  string
	EntityID    string
	TraceParent string
}

// Quarantine keeps records for people and for the replay tool. It may be used concurrently.
type Quarantine interface {
	// Put keeps the record. When it returns nil the record is safe and the caller may go on without
	// it; otherwise it may or may not have been kept, and the caller still owns it. The payload is
	// not retained.
	//
	// Kinds: Invalid and TooLarge for a record that this place can never keep, Denied where
	// configuration or permissions are wrong, Throttled and Transient where a later call may succeed.
	Put(ctx context.Context, r Record) error
}
