package fanout

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// timestampForm is the form of all times in frames: RFC 3339 in UTC, with milliseconds.
const timestampForm = "2006-01-02T15:04:05.000Z"

// frame is a METRIC_UPDATE frame, and the updates in it. Its bytes are shared by all connections that
// get it.
type frame struct {
	bytes   []byte
	updates []*update
	at      time.Time
}

// pack joins updates, in their order, into as few frames as their limit of size allows. An event is
// so much smaller than a frame that each update fits.
func pack(updates []*update, at time.Time) []frame {
	for _, u := range updates {
		if u.fragment == nil {
			u.fragment = fragment(u)
		}
	}
	var frames []frame
	head := len(opening(at)) + len(closing)
	for len(updates) > 0 {
		size, n := head+len(updates[0].fragment), 1
		for n < len(updates) && size+1+len(updates[n].fragment) <= contracts.MaxFrameBytes {
			size += 1 + len(updates[n].fragment)
			n++
		}
		frames = append(frames, join(updates[:n], at, size))
		updates = updates[n:]
	}
	return frames
}

// halves splits a frame that was refused for its size.
func (f frame) halves() []frame {
	middle := len(f.updates) / 2
	return []frame{
		join(f.updates[:middle], f.at, len(f.bytes)),
		join(f.updates[middle:], f.at, len(f.bytes)),
	}
}

const closing = `]}`

func opening(at time.Time) string {
	return `{"type":"` + contracts.MetricUpdateFrameV1Type + `","version":` + strconv.Itoa(contracts.MetricUpdateFrameV1Version) +
		`,"timestamp":"` + at.UTC().Format(timestampForm) + `","data":[`
}

func join(updates []*update, at time.Time, size int) frame {
	b := append(make([]byte, 0, size), opening(at)...)
	for i, u := range updates {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, u.fragment...)
	}
	return frame{bytes: append(b, closing...), updates: updates, at: at}
}

// fragment encodes what a frame says of u. The attributes are the event's own bytes: whatever a
// later producer adds goes through.
func fragment(u *update) []byte {
	b := make([]byte, 0, len(u.Current)+len(u.EntityID)+224)
	b = append(b, `{"entity_type":`...)
	b = appendText(b, string(u.EntityType))
	b = append(b, `,"entity_id":`...)
	b = appendText(b, u.EntityID)
	// The state says what happened, not the name of the operation: of those a later producer may
	// have more.
	if u.Current == nil {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationRemove)+`","reason":"`+string(removal(u))+`"`...)
	} else {
		b = append(b, `,"operation":"`+string(contracts.UpdateOperationUpsert)+`"`...)
	}
	b = append(b, `,"version":{"epoch":`...)
	b = strconv.AppendInt(b, u.Version.Epoch, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, u.Version.Revision, 10)
	b = append(b, '}')
	if u.Current != nil {
		b = append(b, `,"attributes":`...)
		b = append(b, u.Current...)
	}
	b = append(b, `,"written_at":`...)
	b = appendText(b, u.WrittenAt)
	return append(b, '}')
}

func removal(u *update) contracts.RemovalReason {
	if u.Operation == contracts.MetricUpdateOperationExpire {
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
