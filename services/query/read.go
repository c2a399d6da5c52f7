package query

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/view"
)

// Ahead is how many reads a page of /metrics has in flight at most.
const Ahead = 3

// metrics reads the pages of one type after the other; when the first has ended, those of the others are begun at a
// time. When the time is up, it answers with what there is.
func (q *Query) metrics(ctx context.Context, who identity.Identity, asked parameters) (answer, error) {
	question, err := readMetrics(who, asked)
	if err != nil {
		return answer{}, err
	}
	of, after, err := question.position(asked["cursor"])
	if err != nil {
		return answer{}, err
	}
	types := question.types[max(0, slices.Index(question.types, of)):]
	p := q.newPage(question)
	var ahead map[string]state.Page
	for i, of := range types {
		for more := true; more; more = after != "" {
			part, ok := ahead[of]
			if delete(ahead, of); !ok {
				if p.read >= q.config.PageReads {
					return p.answer(question.cursor(of, after)), nil
				}
				part, err = q.part(ctx, who, of, after, p)
				p.read += part.Read
			}
			if err != nil {
				return p.orEnd(ctx, err, of, after)
			}
			for _, e := range part.Entries {
				if !p.addEntity(e) {
					return p.answer(question.cursor(of, after)), nil
				}
				after = e.EntityID
			}
			after = part.Last
			p.begun = true
		}
		if next := types[i+1:]; i == 0 && len(next) > 1 && p.read < q.config.PageReads {
			if ahead, err = q.readAhead(ctx, who, next, p); err != nil {
				return p.orEnd(ctx, err, next[0], "")
			}
		}
	}
	return p.answer(""), nil
}

// part reads a part of a type, from behind an id, and no more than the page may take.
func (q *Query) part(ctx context.Context, who identity.Identity, of, after string, p *page) (state.Page, error) {
	limit := min(p.room(), q.config.PageReads-p.read)
	part, err := q.config.State.Page(ctx, state.Range{Tenant: who.Tenant, EntityType: of}, after, limit)
	if err != nil {
		return state.Page{}, err
	}
	return part, q.own(who, part.Entries)
}

// readAhead reads the first parts of types at a time. What the page then has no room for was read in vain: that
// happens once for each type that has ended, and not to a page that one type fills.
func (q *Query) readAhead(ctx context.Context, who identity.Identity, types []string, p *page) (map[string]state.Page, error) {
	parts := make([]state.Page, len(types))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Ahead)
	for i, of := range types {
		group.Go(func() (err error) {
			parts[i], err = q.part(ctx, who, of, "", p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ahead := map[string]state.Page{}
	for i, of := range types {
		ahead[of] = parts[i]
		p.read += parts[i].Read
	}
	return ahead, nil
}

// orEnd is the answer where a read failed: the page ends there if only its time is up. Where nothing was read at all
// that is an outage, for the next try would end the same.
func (p *page) orEnd(ctx context.Context, err error, of, after string) (answer, error) {
	if p.begun && errors.Is(ctx.Err(), context.DeadlineExceeded) && fault.KindOf(err) == fault.Transient {
		return p.answer(p.cursor(of, after)), nil
	}
	return answer{}, err
}

// found is an insight that the question matches.
type found struct {
	state.Entry
	id     contracts.InsightID
	at     contracts.FoundInsight
	fields view.Selection
}

func foundAt(f found) contracts.FoundInsight { return f.at }

// insights reads all that may count, on each page anew: which those are is known at the end alone.
func (q *Query) insights(ctx context.Context, who identity.Identity, asked parameters) (answer, error) {
	question, err := readInsights(who, asked)
	if err != nil {
		return answer{}, err
	}
	position, key, err := question.position(asked["cursor"])
	if err != nil {
		return answer{}, err
	}
	since, _ := time.Parse(time.RFC3339, asked["since"]) // zero if it is not given; the contract has looked at it
	entries, err := state.LatestInsights(ctx, q.config.State, who.Tenant, since)
	if err == nil {
		err = q.own(who, entries)
	}
	if err != nil {
		return answer{}, err
	}
	p := q.newPage(question)
	p.read = len(entries)
	var counted []found
	for _, e := range entries {
		if f, ok := p.find(e); ok {
			counted = append(counted, f)
		}
	}
	for _, f := range contracts.LatestInsights(counted, foundAt) {
		if position != "" && !behind(f.at, position, key) {
			continue
		}
		if !p.addInsight(f) {
			last := p.last
			return p.answer(question.cursor(strconv.FormatInt(last.FoundAt, 10), last.Key)), nil
		}
	}
	return p.answer(""), nil
}

// behind reports whether an insight comes after a position in the order of contracts.LatestInsights.
func behind(f contracts.FoundInsight, position, key string) bool {
	at, _ := strconv.ParseInt(position, 10, 64) // whoever makes cursors has what they get
	return f.FoundAt < at || f.FoundAt == at && f.Key > key
}

// entity reads one.
func (q *Query) entity(ctx context.Context, who identity.Identity, path, asked parameters) (answer, error) {
	const op = "query.Entity"
	question, err := readEntity(who, path, asked)
	if err != nil {
		return answer{}, err
	}
	id := path["id"]
	if id == "" || len(id) > state.MaxIDBytes || !utf8.ValidString(id) {
		return answer{}, notFound
	}
	key := state.Key{Tenant: who.Tenant, EntityType: path["type"], EntityID: id}
	item, ok, err := q.config.State.Get(ctx, key)
	switch {
	case err != nil:
		return answer{}, err
	case !ok:
		return answer{}, notFound
	}
	e := state.Entry{Key: key, Item: item} // theirs, as own would say: an item has no other key than that asked for
	update := contracts.UpdateV1{
		EntityType: contracts.EntityType(key.EntityType), EntityID: id, Version: item.Version, WrittenAt: item.WrittenAt.UTC().Format(frame.TimestampForm),
	}
	if item.Image == nil {
		// Rows of the metrics table have no time to live: what is gone was deleted.
		update.Operation, update.Reason = contracts.UpdateOperationRemove, contracts.RemovalReasonDeleted
	} else {
		fields, _ := question.set.Match(key.EntityType, view.NewImage(item.Image))
		update.Operation, update.Attributes = contracts.UpdateOperationUpsert, fields.Project(key.EntityType, item.Image)
		if !e.Readable() {
			return answer{}, fault.Newf(op, fault.Internal, "the row breaks its contract")
		}
	}
	rows := []contracts.DigestRow{{Key: contracts.EntityDigestKey(key.EntityType, id), Version: item.Version}}
	return answer{
		tag: question.tag(rows, ""), rows: 1, read: 1,
		body: frame.Encode(contracts.EntityReplyV1{Version: contracts.EntityReplyV1Version, Timestamp: now(), Data: update}),
	}, nil
}

func now() string { return time.Now().UTC().Format(frame.TimestampForm) }

const (
	// maxRows is the most that the contracts of pages allow.
	maxRows = 1_000
	// reserved is what a page has besides its rows: at most a cursor of 2,048 bytes, and a hundred more.
	reserved = 2_048 + 256
)

// page gathers rows until it is full.
type page struct {
	question
	rowsLeft   int
	bytesLeft  int
	fragments  []string
	rows       []contracts.DigestRow
	last       contracts.FoundInsight // the insight that was added last
	read       int                    // rows of the table, without tombstones in a list
	begun      bool                   // a part of a type was read
	unreadable int
}

func (q *Query) newPage(of question) *page {
	// The contracts of both pages have the same limits, and the same version.
	return &page{question: of, rowsLeft: q.config.PageRows, bytesLeft: contracts.KindMetricsPageV1.MaxBytes() - reserved}
}

// room is how many rows it takes at most. It is never 0: whether there is more than fits is known only when it
// does not fit.
func (p *page) room() int { return p.rowsLeft + 1 }

// addEntity reports false, and adds nothing, if the page is full. What does not match is left out.
func (p *page) addEntity(e state.Entry) bool {
	fields, ok := p.set.Match(e.EntityType, view.NewImage(e.Image))
	if !ok {
		return true
	}
	if !e.Readable() {
		p.unreadable++
		return true
	}
	return p.add(contracts.EntityDigestKey(e.EntityType, e.EntityID), e.Version, contracts.UpdateV1{
		EntityType: contracts.EntityType(e.EntityType), EntityID: e.EntityID, Operation: contracts.UpdateOperationUpsert,
		Version: e.Version, Attributes: fields.Project(e.EntityType, e.Image), WrittenAt: e.WrittenAt.UTC().Format(frame.TimestampForm),
	})
}

// find reads an entry, if the question matches it.
func (p *page) find(e state.Entry) (found, bool) {
	fields, ok := p.set.Match(state.InsightType, view.NewImage(e.Image))
	if !ok {
		return found{}, false
	}
	var read struct{ Timestamp time.Time }
	id, ok := e.InsightID()
	if !ok || !e.Readable() || json.Unmarshal(e.Image, &read) != nil || read.Timestamp.IsZero() {
		p.unreadable++
		return found{}, false
	}
	at := contracts.FoundInsight{Key: contracts.InsightDigestKey(id), FoundAt: read.Timestamp.UnixMilli()}
	return found{Entry: e, id: id, at: at, fields: fields}, true
}

// addInsight reports false, and adds nothing, if the page is full.
func (p *page) addInsight(f found) bool {
	added := p.add(f.at.Key, f.Version, contracts.InsightUpdateV1{
		InsightID: f.id, Operation: contracts.UpdateOperationUpsert,
		Version: f.Version, Attributes: f.fields.Project(state.InsightType, f.Image), WrittenAt: f.WrittenAt.UTC().Format(frame.TimestampForm),
	})
	if added {
		p.last = f.at
	}
	return added
}

func (p *page) add(key string, version contracts.Version, update any) bool {
	fragment := string(frame.Encode(update))
	if p.rowsLeft == 0 || len(fragment)+1 > p.bytesLeft {
		return false
	}
	p.rowsLeft--
	p.bytesLeft -= len(fragment) + 1 // and a comma
	p.fragments = append(p.fragments, fragment)
	p.rows = append(p.rows, contracts.DigestRow{Key: key, Version: version})
	return true
}

// answer is the page, with the cursor of the next one; empty if this is the last one.
func (p *page) answer(next string) answer {
	body := `{"version":` + strconv.Itoa(contracts.MetricsPageV1Version) + `,"timestamp":"` + now() + `","data":[` + strings.Join(p.fragments, ",") + `]`
	if next != "" {
		body += `,"next":"` + next + `"`
	}
	return answer{
		tag: p.tag(p.rows, next), body: []byte(body + "}"), more: next != "",
		rows: len(p.rows), read: p.read, unreadable: p.unreadable,
	}
}
