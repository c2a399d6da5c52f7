// Package ticket is the port to the store of tickets. A ticket is the right to open one connection, once
// and soon: a browser cannot send a token with its handshake, so it asks for a ticket with the token, and
// puts that into the address, where logs and histories may show it. By then it is worth nothing.
//
// The store knows only the SHA-256 of a ticket. Whoever reads the store cannot open a connection, and a
// search for a digest tells nothing about those nearby by the time that it takes.
package ticket

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Lifetime is how long a ticket is worth something, unless its issuer says otherwise: enough for a slow
// handshake, and too little for a log to be read.
const Lifetime = 30 * time.Second

// A subject is issued at most Limit tickets in each Window of the clock, in all its sessions. So at most
// twice as many are worth something at a time.
const (
	Limit  = 10
	Window = 30 * time.Second
)

// size is that of a ticket, in bytes: nobody finds one of 2^256 by trying.
const size = 32

// The most that a grant may hold, so that it fits a key of the store (2,048 bytes) and the answer of an
// authorizer (8 KB).
const (
	maxName  = 256
	maxTypes = 16
)

// Grant is what a ticket gives: to connect as this subject of this tenant.
type Grant struct {
	Tenant  string
	Subject string // who asked, by the name that the issuer of its token knows
	Session string // in which session of the subject, to end its connections with it
	// EntityTypes are those that may be seen, sorted; nil for all.
	EntityTypes []string
	// Origin is the page that asked, as https://app.example.com. Empty: no page, but a service.
	Origin string
	// Until is when the permission ends, in milliseconds; zero if it does not.
	Until time.Time
	// IssuedAt is when the ticket was issued, in milliseconds, by the clock of whoever issued it. Issue sets it.
	IssuedAt time.Time
}

// Ticket was issued.
type Ticket struct {
	// Text is the secret, 43 characters of base64url. It belongs in no log.
	Text                string
	IssuedAt, ExpiresAt time.Time // in milliseconds
}

// ErrTooMany is why no ticket is issued: the subject has had [Limit] in this [Window].
var ErrTooMany = errors.New("too many tickets")

// Tickets stores grants. Its methods may be called concurrently. The caller decides about retries, beyond
// the short ones of an adapter. The text of an error tells no ticket.
type Tickets interface {
	// Issue makes a ticket for g that is worth something for a lifetime, which must be positive. The kind
	// of its error is Invalid if the grant is not complete, and Throttled, with ErrTooMany, if the subject
	// has had too many.
	Issue(ctx context.Context, g Grant, lifetime time.Duration) (Ticket, error)

	// Redeem takes a ticket and returns its grant, once: of all that try at a time, one succeeds. The kind
	// of its error is Gone if the ticket is forged, was redeemed or has expired, and nothing tells which.
	// After any other error it may have been redeemed.
	Redeem(ctx context.Context, text string) (Grant, error)
}

// New returns a ticket and the digest by which it is stored.
func New(lifetime time.Duration) (t Ticket, digest string) {
	var b [size]byte
	_, _ = rand.Read(b[:]) // never fails
	now := time.Now()
	t = Ticket{
		Text:      base64.RawURLEncoding.EncodeToString(b[:]),
		IssuedAt:  now.Truncate(time.Millisecond),
		ExpiresAt: now.Add(lifetime).Truncate(time.Millisecond),
	}
	return t, Digest(t.Text)
}

// Digest is what a store knows of a ticket: the SHA-256 of its text, in hexadecimal digits. The text may be
// anything.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Begin returns when the [Window] began that a time is in.
func Begin(now time.Time) time.Time { return now.Truncate(Window) }

// Check returns an error of kind Invalid unless a ticket for g can be issued.
func Check(op string, g Grant, lifetime time.Duration) error {
	named := func(s string) bool { return s != "" && len(s) <= maxName }
	switch {
	case !named(g.Tenant) || strings.Contains(g.Tenant, "#"): // '#' separates the parts of a key
		return fault.Newf(op, fault.Invalid, "no tenant")
	case !named(g.Subject):
		return fault.Newf(op, fault.Invalid, "no subject")
	case !named(g.Session):
		return fault.Newf(op, fault.Invalid, "no session")
	case g.EntityTypes != nil && !typed(g.EntityTypes):
		return fault.Newf(op, fault.Invalid, "the entity types are none, too many, not sorted or not distinct")
	case lifetime <= 0:
		return fault.Newf(op, fault.Invalid, "no lifetime")
	}
	return nil
}

func typed(entityTypes []string) bool {
	n := len(entityTypes)
	return n > 0 && n <= maxTypes && entityTypes[0] != "" && slices.IsSorted(entityTypes) &&
		len(slices.Compact(slices.Clone(entityTypes))) == n
}
