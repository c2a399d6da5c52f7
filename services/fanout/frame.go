package fanout

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// timestampForm is the form of all times in frames: RFC 3339 in UTC, with milliseconds.
const timestampForm = "2006-01-02T15:04:05.000Z"

// form is what the frames of one type look like. There is one of each, so pointers compare.
type form struct {
	contract      string // the type of the frame
	index         int    // in a reading
	first, second string // what stands before the two parts of a name
	end           string // and after them
}

var (
	entities = &form{
		contract: contracts.MetricUpdateFrameV1Type, index: 0,
		first: `{"entity_type":`, second: `,"entity_id":`,
	}
	insights = &form{
		contract: contracts.InsightCreatedFrameV1Type, index: 1,
		first: `{"insight_id":{"pk":`, second: `,"sk":`, end: `}`,
	}
)

const forms = 2

// formOf returns the form of a type's frames, or nil.
func formOf(contract string) *form {
	for _, f := range []*form{entities, insights} {
		if f.contract == contract {
			return f
		}
	}
	return nil
}

// frame is a METRIC_UPDATE or an INSIGHT_CREATED frame, and what it tells. Its text is shared by all
// connections that get it.
type frame struct {
	form    *form
	post    *gateway.Frame
	entries []*entry
	at      time.Time
	oldest  time.Time // of the writes that it tells of, or zero if none is known
	matched time.Time // the earliest of its entries, or zero
}

// age is how long ago the oldest write was that the frame tells of, or 0 if that is not known. It
// compares two clocks.
func (f frame) age(now time.Time) time.Duration {
	if f.oldest.IsZero() {
		return 0
	}
	return now.Sub(f.oldest)
}

// waited is how long the frame's longest waiting entry waited for its post.
func (f frame) waited(posted time.Time) time.Duration {
	if f.matched.IsZero() {
		return 0
	}
	return posted.Sub(f.matched)
}

// pack joins entries into frames: those of entities first, then those of insights, each in their order,
// and each in as few frames as their limit of size allows. An event is so much smaller than a frame that
// each update fits.
func pack(entries []*entry, at time.Time) []frame {
	var frames []frame
	for _, f := range []*form{entities, insights} {
		var of []*entry
		for _, e := range entries {
			if e.name.form == f {
				of = append(of, e)
			}
		}
		frames = f.pack(frames, of, at)
	}
	return frames
}

func (f *form) pack(frames []frame, entries []*entry, at time.Time) []frame {
	for len(entries) > 0 {
		// All of a plan read the same major: it is part of what a channel has in common.
		size, n := len(f.opening(entries[0].how.major, at))+len(closing)+len(entries[0].fragment()), 1
		for n < len(entries) && size+1+len(entries[n].fragment()) <= contracts.MaxFrameBytes {
			size += 1 + len(entries[n].fragment())
			n++
		}
		frames = append(frames, f.join(entries[:n], at, size))
		entries = entries[n:]
	}
	return frames
}

// halves splits a frame that was refused for its size.
func (f frame) halves() []frame {
	middle := len(f.entries) / 2
	return []frame{
		f.form.join(f.entries[:middle], f.at, len(f.post.Text())),
		f.form.join(f.entries[middle:], f.at, len(f.post.Text())),
	}
}

const closing = `]}`

func (f *form) opening(major int, at time.Time) string {
	return `{"type":"` + f.contract + `","version":` + strconv.Itoa(major) +
		`,"timestamp":"` + at.UTC().Format(timestampForm) + `","data":[`
}

func (f *form) join(entries []*entry, at time.Time, size int) frame {
	b := append(make([]byte, 0, size), f.opening(entries[0].how.major, at)...)
	var oldest time.Time
	matched := entries[0].matched
	for i, e := range entries {
		if e.matched.Before(matched) {
			matched = e.matched
		}
		if !e.written.IsZero() && (oldest.IsZero() || e.written.Before(oldest)) {
			oldest = e.written
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.fragment()...)
	}
	return frame{form: f, post: gateway.NewFrame(append(b, closing...)), entries: entries, at: at, oldest: oldest, matched: matched}
}

// fragment is what a frame says of the entry, encoded once for all channels that say it so.
func (e *entry) fragment() []byte {
	c := e.change
	c.encoding.Lock()
	defer c.encoding.Unlock()
	b := c.fragments[e.how]
	if b == nil {
		if c.fragments == nil {
			c.fragments = map[telling][]byte{}
		}
		b = c.encode(e.how)
		c.fragments[e.how] = b
	}
	return b
}

// encode writes what a frame says of a change. The attributes are the event's own bytes, unless they are
// of another major: whatever a later producer adds goes through.
func (c *change) encode(how telling) []byte {
	var attributes json.RawMessage
	if how.remove == "" {
		attributes = how.fields.Project(c.partition(), c.in(how.major).current)
	}
	b := make([]byte, 0, len(attributes)+len(c.name.first)+len(c.name.second)+224)
	b = append(b, c.name.form.first...)
	b = appendText(b, c.name.first)
	b = append(b, c.name.form.second...)
	b = appendText(b, c.name.second)
	b = append(b, c.name.form.end...)
	if how.remove != "" {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationRemove)+`","reason":"`+string(how.remove)+`"`...)
	} else {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationUpsert)+`"`...)
	}
	b = append(b, `,"version":{"epoch":`...)
	b = strconv.AppendInt(b, c.version.Epoch, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, c.version.Revision, 10)
	b = append(b, '}')
	if how.remove == "" {
		b = append(b, `,"attributes":`...)
		b = append(b, attributes...)
	}
	b = append(b, `,"written_at":`...)
	b = appendText(b, c.writtenAt)
	return append(b, '}')
}

// removal is why a thing is gone. The state says what happened, and of the name of the operation only
// what is known here: of those a later producer may have more.
func removal(c *change) contracts.RemovalReason {
	if c.operation == contracts.MetricUpdateOperationExpire {
		return contracts.RemovalReasonExpired
	}
	return contracts.RemovalReasonDeleted
}

func appendText(b []byte, s string) []byte {
	if !plain(s) {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err) // a string always has a form
		}
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain reports whether s is its own JSON form, as nearly all ids are.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
