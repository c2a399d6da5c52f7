// Package state is the port to the state table: the latest public state of every entity, and the
// versions that make duplicates, reordering and replay of updates harmless.
//
// The table remembers, for each entity, its public image or a tombstone, a revision that counts
// its accepted changes without gaps, and the stream position of the last one. A change is accepted
// only if its position is newer, so the table, and with it every reader that lets the highest
// version win, ends in the same state whatever the order and number of deliveries.
package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
)

// MaxDigits is the length of the longest sequence number of a DynamoDB stream record.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
const MaxDigits = 40

// MaxIDBytes is the length of the longest EntityID: the table's sort key has no more room.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const MaxIDBytes = 1024

// TombstoneTTL is how long the table remembers a removed entity. A record that is replayed later
// than that after the removal brings the entity back, with revision 1.
const TombstoneTTL = 30 * 24 * time.Hour

// Key names one entity, or one insight (see [InsightKey]): all that is said of entities here holds
// for insights as well. The same id may exist once in each tenant.
type Key struct {
	Tenant     string
	EntityType string
	EntityID   string
}

// Position is a place in the stream of the source table.
type Position struct {
	// Label names the stream: a time text that grows when a stream is switched off and on again.
	// Labels compare as text, and a record of a newer stream is newer than all of an older one.
	Label string
	// Sequence is the record's sequence number, a text of 1 to MaxDigits digits. It compares as a
	// number: "9" is before "10".
	Sequence string
}

// Padded returns the sequence number with MaxDigits digits, a form whose order as text is the
// numeric order. It reports false for anything but 1 to MaxDigits digits.
func (p Position) Padded() (string, bool) {
	if len(p.Sequence) == 0 || len(p.Sequence) > MaxDigits {
		return "", false
	}
	for i := range len(p.Sequence) {
		if c := p.Sequence[i]; c < '0' || c > '9' {
			return "", false
		}
	}
	return strings.Repeat("0", MaxDigits-len(p.Sequence)) + p.Sequence, true
}

// Unpadded undoes [Position.Padded]: it strips leading zeros, all but the last digit.
func Unpadded(padded string) string {
	if trimmed := strings.TrimLeft(padded, "0"); trimmed != "" {
		return trimmed
	}
	return "0"
}

// Change is the new state of one entity, seen at one position of the stream. A record makes at
// most one change of an entity, so two changes of it at the same position are the same change.
type Change struct {
	Key
	At Position
	// WrittenAt is when the row was written, for readers that measure latency. It orders nothing.
	// It is kept to the millisecond.
	WrittenAt time.Time
	// Image is a JSON object with the public attributes; nil is a tombstone: the entity is gone.
	Image json.RawMessage
}

// Validate returns an error of kind fault.Invalid if the change cannot be stored.
func (c Change) Validate() error {
	const op = "state.Apply"
	switch {
	case c.Tenant == "" || c.EntityType == "" || c.EntityID == "":
		return fault.Newf(op, fault.Invalid, "the key is incomplete")
	case len(c.EntityID) > MaxIDBytes:
		return fault.Newf(op, fault.Invalid, "the entity id has %d bytes", len(c.EntityID))
	case strings.Contains(c.Tenant, "#") || strings.Contains(c.EntityType, "#"):
		return fault.Newf(op, fault.Invalid, "tenant or entity type contains #")
	case c.At.Label == "":
		return fault.Newf(op, fault.Invalid, "the stream label is missing")
	case c.Image != nil && (!bytes.HasPrefix(c.Image, []byte("{")) || !json.Valid(c.Image)):
		return fault.Newf(op, fault.Invalid, "the image is not a JSON object")
	}
	if _, ok := c.At.Padded(); !ok {
		return fault.Newf(op, fault.Invalid, "the sequence number is not 1 to %d digits", MaxDigits)
	}
	return nil
}

// Outcome says what became of a change.
type Outcome int

const (
	// Applied: the change is newer than all before it, and is now the entity's state.
	Applied Outcome = iota + 1
	// Repeated: the entity's state is this very change already. It is a retry of a record that may
	// not have been published: publish it with the stored version.
	Repeated
	// Superseded: a later change of the entity is stored. Drop this one.
	Superseded
)

// String is the outcome's name in logs.
func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case Repeated:
		return "repeated"
	case Superseded:
		return "superseded"
	}
	return fmt.Sprintf("outcome(%d)", int(o))
}

// Result is the outcome of a change and the version that is now stored: for Applied and Repeated
// the version of this change.
type Result struct {
	Outcome Outcome
	Version contracts.Version
}

// Item is what the table holds of an entity.
type Item struct {
	At        Position // the sequence number has no leading zeros
	Version   contracts.Version
	WrittenAt time.Time
	Image     json.RawMessage // nil: a tombstone
}

// Entry is an entity and what the table holds of it.
type Entry struct {
	Key
	Item
}

// Range says which entities to list: those of one tenant and type.
type Range struct {
	Tenant     string
	EntityType string
	// From is the lowest EntityID to list, in the order of bytes. Empty for all.
	From string
}

// Page is a part of a range in the table's own order. An entity keeps its place in that for ever, so who
// reads page after page meets each that is there throughout exactly once, whatever is written meanwhile, and
// any other once at most.
type Page struct {
	Entries []Entry // without tombstones; there may be none
	Read    int     // rows that were read for it, tombstones among them
	Last    string  // the EntityID behind which the next page begins; empty: this is the last one
}

// Table is the state table. Its methods may be called concurrently.
//
// Errors have a kind: Invalid for a change that cannot be stored however often it is tried, Denied
// where configuration or permissions are wrong, Throttled and Transient where a later call may
// succeed. After an error it is unknown whether the change was applied; applying it again is
// always safe. Implementations may retry within the call, and callers may call again.
type Table interface {
	// Apply stores the change if its position is newer than the stored one, with the next revision.
	// Concurrent changes of one entity are serialised, and revisions have no gaps. The image is
	// not retained.
	Apply(ctx context.Context, c Change) (Result, error)
	// Get returns an entity's item, or false where the table never saw it or forgot its tombstone.
	// It sees every Apply that returned before.
	Get(ctx context.Context, k Key) (Item, bool, error)
	// List yields the entities of a range that are there, without tombstones, page by page and in no
	// order, each once at most. It sees every Apply that returned before it began, and of each later one
	// either all or nothing. An error is the last thing that it yields: then what was yielded is a part,
	// and what was not is not known to be absent.
	//
	// A page belongs to the caller. Leaving the loop early ends the read.
	List(ctx context.Context, r Range) iter.Seq2[[]Entry, error]
	// Page returns the part of a range that begins behind the EntityID after, which need not be there any
	// more; empty for the first one. It reads limit rows, or a few more, or less, also where it is not the last.
	// It sees every Apply that returned before. To go on behind any entry of a page, give its EntityID.
	Page(ctx context.Context, r Range, after string, limit int) (Page, error)
	// Latest returns the entities of a range with the highest EntityIDs, in the order of bytes, without
	// tombstones and in no order: all that are there from an id on, which it returns as well. That is the range's
	// From, if these are all. It reads limit rows, or a few more, or less: how many it keeps of a larger range
	// depends on how that is stored, and two calls keep the same of the same rows. What was applied before it
	// began it sees, and of each later change either all or nothing.
	Latest(ctx context.Context, r Range, limit int) (entries []Entry, from string, err error)
}
