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
}

// Everything names the partition with the views on everything, and is the text of the view that
// connections have until they say what they watch.
const Everything = "*"

// Watcher is a connection as one partition of views shows it.
type Watcher struct {
	Connection
	Type   string // the partition: an entity type, insight, or Everything
	Views  string // the text of all its views there, or Everything
	Resync bool   // it may have missed something, and must be told to synchronise
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

// Status is what is known of an open connection.
type Status struct {
	Connection
	Resync bool
}

// ErrSuperseded is why a subscription is refused: a later one is stored.
var ErrSuperseded = errors.New("a later subscription is stored")

// Registry stores connections. All methods may be called concurrently. Their errors carry a
// fault kind; the caller decides about retries, beyond the short ones of an adapter.
type Registry interface {
	// Open registers a connection for everything in its tenant, until [Lifetime] after
	// ConnectedAt. Opening again changes nothing. The kind of its error is Gone if the
	// connection was closed before, and Invalid if it lacks an id, a tenant or a time, or is
	// open already as another tenant's.
	Open(ctx context.Context, c Connection) error

	// Close forgets a connection for good: nobody can open it any more. It may be repeated, and
	// it may come before Open. After an error the connection may be half closed; closing it
	// again finishes the work.
	Close(ctx context.Context, id string) error

	// Subscribe replaces what an open connection watches. New views are there before old ones go; in
	// between a reader may see both. It may be repeated. The kind of its error is Gone if the connection
	// is not open, and Invalid if the subscription is not, or, with ErrSuperseded, if a later one is stored.
	// After an error both may be there; the next Subscribe or Close finishes the work.
	Subscribe(ctx context.Context, id string, s Subscription) (Status, error)

	// MarkResync notes that a connection may have missed something: its watchers show it, until
	// ClearResync. Both may be repeated, and do nothing to a connection that is not open.
	MarkResync(ctx context.Context, id string) error
	ClearResync(ctx context.Context, id string) error

	// Watching yields the watchers that q names, page by page and in no order, each once if it was
	// there before the call and is there after it, and at most once if not. The pages may be used while
	// the read goes on. An error is the last thing that it yields: then the audience is not known, and
	// what was to be sent to it must not count as sent.
	//
	// A page belongs to the caller. Leaving the loop early ends the read.
	Watching(ctx context.Context, q Query) iter.Seq2[[]Watcher, error]
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
	}
	return checkContracts(op, c.Contracts)
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
