// Package resync makes stream records out of the rows that a table has now, for whoever knows that changes of it were
// missed: its stream trimmed them, the stream is new, or the rows were there before the stream. The normalizer gets them
// like any others, so there is one way into the state table and onto the topic.
//
// Told of is what differs: a row whose public attributes are not those that the state table shows, one of which it knows
// nothing, and what it shows of a tenant that no longer has such a row. Whatever is as it is shown is left alone, however
// that came about. So nobody needs to know what was lost, and a run after a run finds nothing to do.
//
// A record has a place in the table's present stream, behind what the state table knows of its entity and before all that
// the stream will still tell of it. So it can never undo a change, and a change that comes later, or came in between,
// wins:
//
//   - What the present stream never told of is put at sequence number 0, before all real ones.
//   - What it told of is put right behind what it told last, at the next number. Since it differs, there is a change that
//     the state table has not seen, at that number or after it. (Where what is public was changed instead, there is none.
//     Then the next change is after it all the same: on AWS the numbers of two changes of a row lie some 10^20 apart,
//     https://github.com/aws/aws-sdk-java/issues/1798.)
//
// It is not put at the end of a lost range, tempting though that is: sequence numbers are in order within one shard and
// those that come of it, and AWS does not say which rows these are. A row of another shard, whose numbers are lower,
// would be frozen: each change to come would seem older than the resync.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
//
// Records of the lost time that were kept (given up with their payload, or in quarantine) are to be replayed before and
// not after, or beside it: one may be behind that place, and show its old row again. To resync once more mends that. What
// the normalizer has not read yet differs, too, and is shown ahead of its record.
//
// What the state table has is not told of again. Where the normalizer applied a record and could not publish it, its
// caller must give it the same record again; if that was given up, dashboards find the change by themselves, and whoever
// only listens does not.
package resync

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Reader is the part of the DynamoDB client that is used. A throttled call is for the client to repeat.
type Reader interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// Source says which rows are to be told of.
type Source struct {
	Client Reader
	Table  Table
	Stream string // the ARN of the table's present stream, as [Describe] finds it

	// Only is the key of the one row that is told of; nil: all.
	Only *Key
	// Tenant is who else may be shown Only, besides its own tenant. Empty: that is not known, and the whole state table
	// is read to find out.
	Tenant string

	Limit int32            // rows that one Scan reads; 0: as many as are 1 MB
	Now   func() time.Time // defaults to time.Now
}

// Rows yields the records, each as the body of a message in the JSON in which Lambda delivers it, first those of what the
// state table knows and then those of what it does not. Many may have the same sequence number, in particular 0. Their IDs
// are the same as long as row and place are.
//
// The whole state table is read, and then the whole table, and a hundred rows or states of them at a time. Nothing is read
// ahead of whoever pulls but one page, of 1 MB or Limit rows, and such a hundred. Each sees what was written before it
// was read. An error is the last thing that is yielded, also when ctx ends; it is of the kinds of package awsfault. To
// begin anew is always safe.
//
// What the normalizer cannot use (a tenant that there cannot be, a type that is not known) is yielded as well, and
// comes to rest in quarantine, as each change of such a row does. Since it is not shown, it differs each time.
func Rows(ctx context.Context, s Source) iter.Seq2[redrive.Message, error] {
	return func(yield func(redrive.Message, error) bool) {
		for r, err := range s.records(ctx) {
			var m redrive.Message
			if err == nil {
				m, err = r.message()
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (s Source) records(ctx context.Context) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		label, err := labelOf(s.Stream)
		if err != nil {
			yield(record{}, err)
			return
		}
		if s.Now == nil {
			s.Now = time.Now
		}
		for _, part := range []iter.Seq2[record, error]{s.known(ctx, label), s.unknown(ctx)} {
			for r, err := range part {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// known yields what became of what the state table knows. An entity's state is read before its row: the row is then no
// older than the change behind which it is put.
func (s Source) known(ctx context.Context, label string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for page, err := range s.states(ctx) {
			if err != nil {
				yield(record{}, err)
				return
			}
			for chunk := range slices.Chunk(page, maxKeys) {
				records, err := s.compare(ctx, label, chunk)
				if err != nil {
					yield(record{}, err)
					return
				}
				for _, r := range records {
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// compare reads the rows of at most maxKeys entities, and returns what is to be told of those that differ.
func (s Source) compare(ctx context.Context, label string, all []entity) (records []record, err error) {
	keys := make([]Key, len(all))
	for i, e := range all {
		if e.label > label {
			return nil, fmt.Errorf("the state table knows a newer stream, %s, than %s: look again which the table has", e.label, s.Stream)
		}
		keys[i] = e.key
	}
	rows, err := s.get(ctx, s.Table.Name, s.Table.names, keys, nil)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		sequence := first
		if e.label == label {
			sequence = after(e.sequence)
		}
		row, there := rows[e.key]
		owner, _ := tenantOf(row)
		switch {
		case there && owner == e.tenant:
			if !s.Table.shows(e, row) {
				records = append(records, s.insert(e.key, row, sequence))
			}
		case e.image != nil:
			records = append(records, s.remove(e, sequence))
		}
	}
	return records, nil
}

// unknown yields the rows that the state table knows nothing of.
func (s Source) unknown(ctx context.Context) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for page, err := range s.rows(ctx) {
			if err != nil {
				yield(record{}, err)
				return
			}
			for chunk := range slices.Chunk(page, maxKeys) {
				var keys []Key
				for _, r := range chunk {
					if r.state != (Key{}) {
						keys = append(keys, r.state)
					}
				}
				known, err := s.get(ctx, s.Table.State, stateKey, keys, stateKey[:])
				if err != nil {
					yield(record{}, err)
					return
				}
				for _, r := range chunk {
					if _, ok := known[r.state]; ok {
						continue
					}
					if !yield(s.insert(r.key, r.item, first), nil) {
						return
					}
				}
			}
		}
	}
}

const (
	// maxDigits is the length of the longest sequence number:
	// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
	maxDigits = 40
	// first is a sequence number below all real ones.
	first = "0"
)

// after is the next number. The longest has none: no change can come after it.
func after(sequence string) string {
	digits := []byte(sequence)
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i] < '9' {
			digits[i]++
			return strings.TrimLeft(string(digits), "0")
		}
		digits[i] = '0'
	}
	return sequence
}
