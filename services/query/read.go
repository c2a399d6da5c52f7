package query

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/view"
)

// timestampForm is contracts/schemas/defs/timestamp.json.
const timestampForm = "2006-01-02T15:04:05.000Z"

// readable reports whether a page can carry the row: the normalizer lets no other through.
func readable(e state.Entry) bool {
	return len(e.Image) <= contracts.MaxEventBytes && json.Valid(e.Image)
}

// metrics reads the pages of one type after the other.
func (q *Query) metrics(ctx context.Context, who identity.Identity, asked parameters) (answer, error) {
	question, err := readMetrics(who, asked)
	if err != nil {
		return answer{}, err
	}
	of, after, err := question.position(asked["cursor"])
	if err != nil {
		return answer{}, err
	}
	at := 0
	if of != "" {
		at = max(0, slices.Index(question.types, of)) // the question is the same, so it is there
	}
	p := q.newPage(question)
	for ; at < len(question.types); at++ {
		of := question.types[at]
		for more := true; more; more = after != "" {
			if p.read >= q.config.PageReads {
				return p.answer(question.cursor(of, after)), nil
			}
			part, err := q.config.State.Page(ctx, state.Range{Tenant: who.Tenant, EntityType: of}, after, min(p.room(), q.config.PageReads-p.read))
			if err != nil {
				return answer{}, err
			}
			if err := q.own(who.Tenant, part.Entries); err != nil {
				return answer{}, err
			}
			p.read += part.Read
			for _, e := range part.Entries {
				if !p.addEntity(e) {
					return p.answer(question.cursor(of, after)), nil
				}
				after = e.EntityID
			}
			after = part.Last
		}
	}
	return p.answer(""), nil
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
	p := q.newPage(question)
	var counted []found
	for entries, err := range q.config.State.List(ctx, state.LatestInsights(who.Tenant, time.Now())) {
		if err == nil {
			err = q.own(who.Tenant, entries)
		}
		if err != nil {
			return answer{}, err
		}
		p.read += len(entries)
		for _, e := range entries {
			if f, ok := p.find(e); ok {
				counted = append(counted, f)
			}
		}
		if len(counted) > 2*contracts.InsightLimit { // what does not count among some does not among all
			counted = contracts.LatestInsights(counted, foundAt)
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
	e := state.Entry{Key: key, Item: item}
	update := contracts.UpdateV1{
		EntityType: contracts.EntityType(key.EntityType), EntityID: id, Version: item.Version, WrittenAt: item.WrittenAt.UTC().Format(timestampForm),
	}
	if item.Image == nil {
		// Rows of the metrics table have no time to live: what is gone was deleted.
		update.Operation, update.Reason = contracts.UpdateOperationRemove, contracts.RemovalReasonDeleted
	} else {
		fields, _ := question.set.Match(key.EntityType, view.NewImage(item.Image))
		update.Operation, update.Attributes = contracts.UpdateOperationUpsert, fields.Project(key.EntityType, item.Image)
		if !readable(e) {
			return answer{}, fault.Newf(op, fault.Internal, "the row breaks its contract")
		}
	}
	rows := []contracts.DigestRow{{Key: contracts.EntityDigestKey(key.EntityType, id), Version: item.Version}}
	return answer{
		tag: question.tag(rows, ""), rows: 1, read: 1,
		body: encode(contracts.EntityReplyV1{Version: contracts.EntityReplyV1Version, Timestamp: now(), Data: update}),
	}, nil
}

func now() string { return time.Now().UTC().Format(timestampForm) }

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
	if !readable(e) {
		p.unreadable++
		return true
	}
	return p.add(contracts.EntityDigestKey(e.EntityType, e.EntityID), e.Version, contracts.UpdateV1{
		EntityType: contracts.EntityType(e.EntityType), EntityID: e.EntityID, Operation: contracts.UpdateOperationUpsert,
		Version: e.Version, Attributes: fields.Project(e.EntityType, e.Image), WrittenAt: e.WrittenAt.UTC().Format(timestampForm),
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
	if !ok || !readable(e) || json.Unmarshal(e.Image, &read) != nil || read.Timestamp.IsZero() {
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
		Version: f.Version, Attributes: f.fields.Project(state.InsightType, f.Image), WrittenAt: f.WrittenAt.UTC().Format(timestampForm),
	})
	if added {
		p.last = f.at
	}
	return added
}

func (p *page) add(key string, version contracts.Version, update any) bool {
	fragment := string(encode(update))
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
