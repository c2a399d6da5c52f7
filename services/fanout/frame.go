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

// frame is a METRIC_UPDATE or an INSIGHT_CREATED frame, and the updates in it. Its text is shared by
// all connections that get it.
type frame struct {
	form    *form
	major   int
	post    *gateway.Frame
	updates []*update
	at      time.Time
}

// pack joins updates into the frames of a reading: those of entities first, then those of insights,
// each in their order, and each in as few frames as their limit of size allows. An event is so much
// smaller than a frame that each update fits.
func pack(updates []*update, r reading, at time.Time) []frame {
	var frames []frame
	for _, f := range []*form{entities, insights} {
		if r[f.index] == 0 {
			continue
		}
		var of []*update
		for _, u := range updates {
			if u.name.form == f {
				of = append(of, u)
			}
		}
		frames = f.pack(frames, of, r[f.index], at)
	}
	return frames
}

func (f *form) pack(frames []frame, updates []*update, major int, at time.Time) []frame {
	head := len(f.opening(major, at)) + len(closing)
	for len(updates) > 0 {
		size, n := head+len(updates[0].fragment(major)), 1
		for n < len(updates) && size+1+len(updates[n].fragment(major)) <= contracts.MaxFrameBytes {
			size += 1 + len(updates[n].fragment(major))
			n++
		}
		frames = append(frames, f.join(updates[:n], major, at, size))
		updates = updates[n:]
	}
	return frames
}

// halves splits a frame that was refused for its size.
func (f frame) halves() []frame {
	middle := len(f.updates) / 2
	return []frame{
		f.form.join(f.updates[:middle], f.major, f.at, len(f.post.Text())),
		f.form.join(f.updates[middle:], f.major, f.at, len(f.post.Text())),
	}
}

const closing = `]}`

func (f *form) opening(major int, at time.Time) string {
	return `{"type":"` + f.contract + `","version":` + strconv.Itoa(major) +
		`,"timestamp":"` + at.UTC().Format(timestampForm) + `","data":[`
}

func (f *form) join(updates []*update, major int, at time.Time, size int) frame {
	b := append(make([]byte, 0, size), f.opening(major, at)...)
	for i, u := range updates {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, u.fragment(major)...)
	}
	return frame{form: f, major: major, post: gateway.NewFrame(append(b, closing...)), updates: updates, at: at}
}

// fragment is what the frames of a major say of u, encoded once.
func (u *update) fragment(major int) []byte {
	u.encoding.Lock()
	defer u.encoding.Unlock()
	if u.fragments == nil {
		u.fragments = map[int][]byte{}
	}
	b := u.fragments[major]
	if b == nil {
		b = encodeUpdate(u.change, major)
		u.fragments[major] = b
	}
	return b
}

// encodeUpdate writes what a frame says of a change. Where the event is of the frame's major, the
// attributes are its own bytes: whatever a later producer adds goes through.
func encodeUpdate(c change, major int) []byte {
	current := c.in(major)
	b := make([]byte, 0, len(current)+len(c.name.first)+len(c.name.second)+224)
	b = append(b, c.name.form.first...)
	b = appendText(b, c.name.first)
	b = append(b, c.name.form.second...)
	b = appendText(b, c.name.second)
	b = append(b, c.name.form.end...)
	// The state says what happened, not the name of the operation: of those a later producer may
	// have more.
	if current == nil {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationRemove)+`","reason":"`+string(removal(c))+`"`...)
	} else {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationUpsert)+`"`...)
	}
	b = append(b, `,"version":{"epoch":`...)
	b = strconv.AppendInt(b, c.version.Epoch, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, c.version.Revision, 10)
	b = append(b, '}')
	if current != nil {
		b = append(b, `,"attributes":`...)
		b = append(b, current...)
	}
	b = append(b, `,"written_at":`...)
	b = appendText(b, c.writtenAt)
	return append(b, '}')
}

func removal(c change) contracts.RemovalReason {
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
