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

// form is what the frames of one contract look like. There is one of each, so pointers compare.
type form struct {
	contract      string // the type of the frame
	version       int
	first, second string // what stands before the two parts of a name
	end           string // and after them
}

var (
	entities = &form{
		contract: contracts.MetricUpdateFrameV1Type, version: contracts.MetricUpdateFrameV1Version,
		first: `{"entity_type":`, second: `,"entity_id":`,
	}
	insights = &form{
		contract: contracts.InsightCreatedFrameV1Type, version: contracts.InsightCreatedFrameV1Version,
		first: `{"insight_id":{"pk":`, second: `,"sk":`, end: `}`,
	}
)

// frame is a METRIC_UPDATE or an INSIGHT_CREATED frame, and the updates in it. Its text is shared by
// all connections that get it.
type frame struct {
	form    *form
	post    *gateway.Frame
	updates []*update
	at      time.Time
}

// pack joins updates into frames: those of entities first, then those of insights, each in their
// order, and each in as few frames as their limit of size allows. An event is so much smaller than a
// frame that each update fits.
func pack(updates []*update, at time.Time) []frame {
	var frames []frame
	for _, f := range []*form{entities, insights} {
		var of []*update
		for _, u := range updates {
			if u.name.frame == f {
				of = append(of, u)
			}
		}
		frames = f.pack(frames, of, at)
	}
	return frames
}

func (f *form) pack(frames []frame, updates []*update, at time.Time) []frame {
	for _, u := range updates {
		if u.fragment == nil {
			u.fragment = fragment(u)
		}
	}
	head := len(f.opening(at)) + len(closing)
	for len(updates) > 0 {
		size, n := head+len(updates[0].fragment), 1
		for n < len(updates) && size+1+len(updates[n].fragment) <= contracts.MaxFrameBytes {
			size += 1 + len(updates[n].fragment)
			n++
		}
		frames = append(frames, f.join(updates[:n], at, size))
		updates = updates[n:]
	}
	return frames
}

// halves splits a frame that was refused for its size.
func (f frame) halves() []frame {
	middle := len(f.updates) / 2
	return []frame{
		f.form.join(f.updates[:middle], f.at, len(f.post.Text())),
		f.form.join(f.updates[middle:], f.at, len(f.post.Text())),
	}
}

const closing = `]}`

func (f *form) opening(at time.Time) string {
	return `{"type":"` + f.contract + `","version":` + strconv.Itoa(f.version) +
		`,"timestamp":"` + at.UTC().Format(timestampForm) + `","data":[`
}

func (f *form) join(updates []*update, at time.Time, size int) frame {
	b := append(make([]byte, 0, size), f.opening(at)...)
	for i, u := range updates {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, u.fragment...)
	}
	return frame{form: f, post: gateway.NewFrame(append(b, closing...)), updates: updates, at: at}
}

// fragment encodes what a frame says of u. The attributes are the event's own bytes: whatever a
// later producer adds goes through.
func fragment(u *update) []byte {
	b := make([]byte, 0, len(u.current)+len(u.name.first)+len(u.name.second)+224)
	b = append(b, u.name.frame.first...)
	b = appendText(b, u.name.first)
	b = append(b, u.name.frame.second...)
	b = appendText(b, u.name.second)
	b = append(b, u.name.frame.end...)
	// The state says what happened, not the name of the operation: of those a later producer may
	// have more.
	if u.current == nil {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationRemove)+`","reason":"`+string(removal(u))+`"`...)
	} else {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationUpsert)+`"`...)
	}
	b = append(b, `,"version":{"epoch":`...)
	b = strconv.AppendInt(b, u.version.Epoch, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, u.version.Revision, 10)
	b = append(b, '}')
	if u.current != nil {
		b = append(b, `,"attributes":`...)
		b = append(b, u.current...)
	}
	b = append(b, `,"written_at":`...)
	b = appendText(b, u.writtenAt)
	return append(b, '}')
}

func removal(u *update) contracts.RemovalReason {
	if u.operation == contracts.MetricUpdateOperationExpire {
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
