// Package summary is the port to what those who read the state table tell each other: the digest of what some views hold,
// by the last read of it. So of many who come back at the same time, one reads, and the others learn whether they
// hold the same.
//
// Reads of one key are numbered in the order in which they begin. Who asks for a summary and later finds one by a read
// of a higher number than had begun then knows that this read began after it had asked: no clock plays a part.
package summary

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Key names the views of a tenant's connections that hold the same.
type Key struct {
	Tenant string
	Of     string // as [Of] makes it
}

// Of names what is read by the texts that decide upon it.
func Of(texts ...string) string {
	sum := sha256.New()
	for _, text := range texts {
		sum.Write([]byte(text + "\x00")) // never fails
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Check returns an error of kind Invalid unless k names views.
func (k Key) Check(op string) error {
	if k.Tenant == "" || strings.Contains(k.Tenant, "#") || k.Of == "" {
		return fault.Newf(op, fault.Invalid, "not the views of a tenant")
	}
	return nil
}

// Summary is what is known of some views. The zero value is that nothing is.
type Summary struct {
	// Begun is the number of the last read that has begun, from 1, and BegunAt is when, in milliseconds, by the
	// clock of whoever reads.
	Begun   int64
	BegunAt time.Time
	// Done is the last read that has ended well, if its Number is not 0.
	Done Read
}

// Read is a read that has ended well.
type Read struct {
	Number  int64
	BegunAt time.Time // as that of a Summary
	Digest  string    // of what the views held then
}

// Keep is how long a summary is kept after its last read began, or longer.
const Keep = time.Hour

// Store keeps summaries. Its methods may be called concurrently, and see all that was done by calls which returned
// before. The kind of their errors is Invalid for a key that names nothing, Denied where configuration or
// permissions are wrong, Throttled and Transient where a later call may succeed; after those it is unknown whether
// the call had an effect. Nothing depends on any of it but how much is read.
type Store interface {
	// Get returns what is known.
	Get(ctx context.Context, k Key) (Summary, error)
	// Begin gives a read that begins now, after the call, the number after + 1. It reports false if another has
	// that number.
	Begin(ctx context.Context, k Key, after int64, now time.Time) (bool, error)
	// End tells what a read has found that was begun. It does nothing if a later one has ended before.
	End(ctx context.Context, k Key, r Read) error
}
