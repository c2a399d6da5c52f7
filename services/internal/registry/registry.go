// Package registry is the port to the connection registry: who is connected, as which tenant, and
// therefore who must hear of an update.
//
// The registry converges to the sockets that are open, whatever the order in which it hears of
// them. A closed connection leaves a tombstone, so that an Open which arrives after its Close
// changes nothing; both may be repeated; and everything expires by itself, because API Gateway
// sends $disconnect at best effort and may never send it.
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Lifetime is how long the registry keeps a connection that nobody closes, and the tombstone of
// one that somebody did. API Gateway ends every connection after two hours:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const Lifetime = 2*time.Hour + 10*time.Minute

// Buckets is the number of parts into which a tenant's audience is split. It is part of the
// stored form: see [Bucket].
const Buckets = 16

// Connection is one open WebSocket.
type Connection struct {
	ID          string    // API Gateway's connectionId: opaque, never shown to a client
	Tenant      string    // whose updates it may see; the registry keeps it apart from all others
	ConnectedAt time.Time // when the handshake began, by API Gateway's clock, in milliseconds
	// Contracts are the contracts that it said it reads, as METRIC_UPDATE/1, sorted; nil if it said
	// nothing.
	Contracts []string

	// Who opened it; empty if nobody was asked.
	Subject string // by the name that the issuer of its token knows
	Session string // of the subject
	// EntityTypes are the partitions that it may watch, sorted; nil for all.
	EntityTypes []string
	// Until is when its permission ends, in milliseconds; zero: with its [Lifetime].
	Until time.Time
	// Service: it is no page's. Open counts it apart from those that are, and nothing else keeps it.
	Service bool
	// PermittedAt is when its permission was given, in milliseconds, by the clock of whoever gave it; zero: nobody
	// knows, so it may be as old as any. Open compares it with the revocations, and nothing keeps it.
	PermittedAt time.Time
}

// End is when the connection counts no more, if nobody closes it: its permission or its [Lifetime] ends.
func (c Connection) End() time.Time {
	end := c.ConnectedAt.Add(Lifetime)
	if !c.Until.IsZero() && c.Until.Before(end) {
		return c.Until
	}
	return end
}

// Ended reports whether its permission has ended.
func (c Connection) Ended(now time.Time) bool { return !c.Until.IsZero() && !now.Before(c.Until) }

// May reports whether the connection may watch a partition: an entity type, insight, or Everything.
func (c Connection) May(partition string) bool {
	return c.EntityTypes == nil || slices.Contains(c.EntityTypes, partition)
}

// Partitions are those that a connection watches until it says what it wants: all that it may.
func (c Connection) Partitions() []string {
	if c.EntityTypes == nil {
		return []string{Everything}
	}
	return c.EntityTypes
}

// Owner names the connections of a subject, in all its sessions, or in one of them: either Subject or Session
// is empty.
type Owner struct{ Tenant, Subject, Session string }

// Everything names the partition with the views on everything, and is the text of the view that
// connections have until they say what they watch.
const Everything = "*"

// Watcher is a connection as one partition of views shows it: little, since there are many, and they are read often.
type Watcher struct {
	ID, Tenant  string // of the [Connection], as are these:
	ConnectedAt time.Time
	Contracts   []string

	Type   string // the partition: an entity type, insight, or Everything
	Views  string // the text of all its views there, or Everything
	Resync bool   // it may have missed something, and must be told to synchronise
	Ended  bool   // its permission has ended: it must be told to move, and nothing else, and be closed
}

// Watch is how a partition shows the connection, with the views that it has there.
func (c Connection) Watch(partition, views string) Watcher {
	return Watcher{ID: c.ID, Tenant: c.Tenant, ConnectedAt: c.ConnectedAt, Contracts: c.Contracts, Type: partition, Views: views}
}

// Query says which watchers to read: those of the partitions named and of Everything.
type Query struct {
	Tenant  string
	Types   []string
	Buckets []int // nil for all
}

// Subscription is what a connection says that it watches.
type Subscription struct {
	// SyncID rises with each of a connection.
	SyncID int64
	// Contracts that it reads; nil for those that it named before.
	Contracts []string
	// Views are the texts of its views by partition: of Everything alone, or of types. Empty: it watches
	// nothing.
	Views map[string]string
}

// Status is what is known of an open connection when a subscription of it was stored.
type Status struct {
	Connection
	// Resync: it must be sent all that its views hold, whatever it says that it holds. It may have missed
	// something, or its views or contracts are not those of the subscription before.
	Resync bool
	// Marks counts how often that was noted of it so far; see ClearResync.
	Marks int64
	// Since is when the views and contracts were stored that it has now, in milliseconds, by the clock of
	// the process that stored them. Subscriptions that say the same again leave it as it is.
	Since time.Time
}

// Why a subscription is refused, besides its form.
var (
	// ErrSuperseded: a later one is stored. The kind is Invalid.
	ErrSuperseded = errors.New("a later subscription is stored")
	// ErrForbidden: the connection may not watch what it asks for. The kind is Denied.
	ErrForbidden = errors.New("not permitted to watch that")
	// ErrEnded: the permission of the connection has ended. The kind is Gone.
	ErrEnded = errors.New("the permission has ended")
	// ErrTold, besides ErrEnded or TooSoon: the connection was refused so before, since it subscribed last or since
	// its permission ended. So whoever tells it each first time tells it seldom.
	ErrTold = errors.New("as it was told")
)

// ErrRevoked is why a connection is not opened: its permission was revoked after it was given. The kind is Gone.
var ErrRevoked = errors.New("the permission was revoked")

// MaxSkew is how far apart the clocks of two processes may be: whoever is revoked gets in by no permission that was
// given until so long after.
const MaxSkew = time.Second

// TooMany is why a connection is not opened: its subject has as many as it may have; see [Admit]. The kind is Throttled.
type TooMany struct {
	// Silent are those of them that spoke, and have said nothing for [Silence], the longest silent first: their
	// sockets may have died unnoticed. One that never spoke may only listen.
	Silent []string
}

func (e TooMany) Error() string { return "the subject has too many connections" }

// Silence is after how long without a word nobody knows whether a connection that spoke is still there. A browser
// sends a subscription a minute at least: frontend/src/live/timing.ts.
const Silence = 90 * time.Second

// TooSoon is why a subscription is refused: the connection's come too fast. The kind is Throttled.
type TooSoon struct {
	After time.Duration // how long to wait, by the clock of the caller
}

func (e TooSoon) Error() string { return "subscriptions come too fast" }

// How fast a connection's subscriptions may come. A browser sends one in 20 seconds, and a few when it
// opens; 100 messages a minute is where OWASP's cheat sheet for WebSockets would have one begin:
// https://cheatsheetseries.owasp.org/cheatsheets/WebSocket_Security_Cheat_Sheet.html
const (
	// SubscribeInterval is the time that one uses up.
	SubscribeInterval = 600 * time.Millisecond
	// SubscribeBurst is how many may come at once after a rest.
	SubscribeBurst = 20
)

// Pace is a bucket of [SubscribeBurst] tokens that gains one each [SubscribeInterval], kept as one number:
// the time at which it is full again, or zero if it never was used. It returns that time once a token is
// taken now, or how long to wait for one.
func Pace(full, now time.Time) (after time.Time, wait time.Duration) {
	if full.Before(now) {
		full = now
	}
	full = full.Add(SubscribeInterval)
	return full, full.Sub(now) - SubscribeBurst*SubscribeInterval
}

// Registry stores connections. All methods may be called concurrently. Their errors carry a
// fault kind; the caller decides about retries, beyond the short ones of an adapter.
type Registry interface {
	// Open registers a connection for everything in its tenant that it may watch, for its [Lifetime]. Opening again
	// changes nothing. The kind of its error is Gone if the connection was closed before, Throttled with
	// TooMany if its subject has as many as the registry allows (of those that open at the same time, too; services
	// count apart from pages), Gone with ErrRevoked if the permission of one of its owners was revoked after it was
	// given to c (then c is closed), and Invalid if it lacks an id, a tenant or a time, or is open already as another
	// tenant's. After an error it may be open; Close ends that.
	Open(ctx context.Context, c Connection) error

	// Revoke takes an owner's permission away: when it has returned, each Open by a permission of before fails with
	// ErrRevoked, unless Owned names the connection. So whoever calls Revoke, Owned, and ends those, in this order,
	// misses none, however they race with handshakes. It may be repeated, which takes away what was given meanwhile.
	// A revocation is kept for [Lifetime], far longer than a permission waits for its handshake. The kind of its
	// error is Invalid if the owner is not valid.
	Revoke(ctx context.Context, o Owner) error

	// Close forgets a connection for good: nobody can open it any more. It may be repeated, and
	// it may come before Open. After an error the connection may be half closed; closing it
	// again finishes the work.
	Close(ctx context.Context, id string) error

	// Subscribe replaces what an open connection watches. New views are there before old ones go; in
	// between a reader may see both. It may be repeated. What is on everything, of a connection that may not
	// watch all, is on all that it may. The kind of its error is Gone if the connection is not open, with
	// ErrEnded if that is because its permission has ended, Denied with ErrForbidden if it may not watch what it asks for, Throttled with TooSoon if
	// its subscriptions come too fast (those that are stored at the same time may count as one), and Invalid if
	// the subscription is not valid, or, with ErrSuperseded, if a later one is stored.
	// After an error both may be there; the next Subscribe or Close finishes the work.
	//
	// If the views or contracts are not those of the subscription before, the connection must be sent all
	// that they hold: that is noted with them, as by MarkResync, but its watchers do not show it.
	Subscribe(ctx context.Context, id string, s Subscription) (Status, error)

	// Blame makes an open connection pay for a message that was no subscription: it uses up as much of its Pace.
	// A gross one, such as no client of ours sends by mistake, is counted whatever the pace, and Blame returns how
	// many there were. The kind of its error is Gone, as that of Subscribe, or Throttled with TooSoon, without ErrTold.
	Blame(ctx context.Context, id string, gross bool) (int, error)

	// Charge makes a connection that has subscribed pay for the answer, as for so many subscriptions more. It may owe
	// what it cannot pay: then its next ones come too soon. It does nothing to a connection that is not open.
	Charge(ctx context.Context, id string, tokens int) error

	// MarkResync notes that a connection may have missed something: its watchers show it, until
	// ClearResync. It may be repeated, and does nothing to a connection that is not open.
	MarkResync(ctx context.Context, id string) error

	// ClearResync notes that a connection was sent all that its views held after a Subscribe, whose Status
	// had so many Marks. It does nothing if more was noted since: what that was may be missing in what was
	// sent. It may be repeated, and does nothing to a connection that is not open. After an error some of its
	// watchers may still show the mark; the next ClearResync takes it off.
	ClearResync(ctx context.Context, id string, marks int64) error

	// Watching yields the watchers that q names, page by page and in no order, each once if it was
	// there before the call and is there after it, and at most once if not. The pages may be used while
	// the read goes on. An error is the last thing that it yields: then the audience is not known, and
	// what was to be sent to it must not count as sent.
	//
	// A connection whose permission has ended is there as Ended, until it is closed or its [Lifetime] ends: its
	// socket is open, and if nobody told it so, it would wait for updates that do not come.
	//
	// A page belongs to the caller. Leaving the loop early ends the read.
	Watching(ctx context.Context, q Query) iter.Seq2[[]Watcher, error]

	// Owned returns an owner's connections, in no order: all that are open, and perhaps some that are not any
	// more. It tells of each the ID, the Tenant and ConnectedAt. The kind of its error is Invalid if the owner is
	// not valid.
	Owned(ctx context.Context, o Owner) ([]Connection, error)
}

// Bucket returns the part of its tenant's audience that a connection belongs to: the first four
// bits of the SHA-256 of its id. It is a stored form and must never change.
func Bucket(id string) int {
	sum := sha256.Sum256([]byte(id))
	return int(sum[0] >> 4)
}

// Check returns an error of kind Invalid unless c can be registered.
func Check(op string, c Connection) error {
	switch {
	case c.ID == "":
		return fault.Newf(op, fault.Invalid, "no connection id")
	case c.Tenant == "" || strings.Contains(c.Tenant, "#"): // '#' separates the parts of a key
		return fault.Newf(op, fault.Invalid, "not a tenant: %q", c.Tenant)
	case c.ConnectedAt.IsZero():
		return fault.Newf(op, fault.Invalid, "no time of connection")
	case len(c.Subject) > maxName || len(c.Session) > maxName:
		return fault.Newf(op, fault.Invalid, "a subject or session of more than %d bytes", maxName)
	case !c.Until.IsZero() && !c.Until.After(c.ConnectedAt):
		return fault.Newf(op, fault.Invalid, "a permission that ended before")
	case c.EntityTypes != nil && !partitioned(c.EntityTypes):
		return fault.Newf(op, fault.Invalid, "the entity types are none, too many, not sorted, or not types")
	}
	return checkContracts(op, c.Contracts)
}

// The most that a connection may hold. A key of the stored form has 2,048 bytes at most, and what an
// authorizer says has 8 KB.
const (
	maxName  = 256
	maxTypes = 16
)

// partitioned reports whether these can be the only partitions that a connection may watch.
func partitioned(types []string) bool {
	n := len(types)
	return n > 0 && n <= maxTypes && types[0] != "" && slices.IsSorted(types) && len(slices.Compact(slices.Clone(types))) == n &&
		!slices.ContainsFunc(types, func(t string) bool { return t == Everything || strings.Contains(t, "#") })
}

// CheckOwner returns an error of kind Invalid unless o names somebody.
func CheckOwner(op string, o Owner) error {
	if o.Tenant == "" || strings.Contains(o.Tenant, "#") || (o.Subject == "") == (o.Session == "") {
		return fault.Newf(op, fault.Invalid, "not an owner: a tenant, and either a subject or a session")
	}
	return nil
}

// Owners are those who own c.
func (c Connection) Owners() []Owner {
	var owners []Owner
	if c.Subject != "" {
		owners = append(owners, Owner{Tenant: c.Tenant, Subject: c.Subject})
	}
	if c.Session != "" {
		owners = append(owners, Owner{Tenant: c.Tenant, Session: c.Session})
	}
	return owners
}

// Revoked reports whether a revocation at a time, by the clock of whoever revoked, took the permission of c away.
func (c Connection) Revoked(at time.Time) bool { return !c.PermittedAt.After(at.Add(MaxSkew)) }

// Narrow returns s, with views on everything as views on each partition that c may watch: that of a type shows
// nothing of another.
func Narrow(c Connection, s Subscription) Subscription {
	views, ok := s.Views[Everything]
	if !ok || c.EntityTypes == nil {
		return s
	}
	s.Views = map[string]string{}
	for _, partition := range c.EntityTypes {
		s.Views[partition] = views
	}
	return s
}

// CheckPermission returns an error of kind Denied unless c may watch what s asks for.
func CheckPermission(op string, c Connection, s Subscription) error {
	for partition := range s.Views {
		if !c.May(partition) {
			return fault.Newf(op, fault.Denied, "%w: %q", ErrForbidden, partition)
		}
	}
	return nil
}

// CheckSubscription returns an error of kind Invalid unless s can be stored.
func CheckSubscription(op string, s Subscription) error {
	if s.SyncID < 1 {
		return fault.Newf(op, fault.Invalid, "no sync id")
	}
	if err := checkContracts(op, s.Contracts); err != nil {
		return err
	}
	for partition, views := range s.Views {
		switch {
		case partition == "" || strings.Contains(partition, "#") || views == "":
			return fault.Newf(op, fault.Invalid, "not a partition, or no views: %q", partition)
		case partition == Everything && len(s.Views) > 1:
			return fault.Newf(op, fault.Invalid, "views on everything stand alone")
		}
	}
	return nil
}

func checkContracts(op string, named []string) error {
	if len(named) > 0 && (!slices.IsSorted(named) || named[0] == "" || len(slices.Compact(slices.Clone(named))) < len(named)) {
		return fault.Newf(op, fault.Invalid, "the contracts are not sorted, or not distinct")
	}
	return nil
}

// LogID names a connection in a log. A connection id lets its holder's permissions post to that
// browser, so logs carry the start of its hash: enough to follow one connection through them.
func LogID(id string) slog.Attr {
	sum := sha256.Sum256([]byte(id))
	return slog.String("connection_id", hex.EncodeToString(sum[:8]))
}
