package session

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// timestampForm is the form of all times in frames: RFC 3339 in UTC, with milliseconds.
const timestampForm = "2006-01-02T15:04:05.000Z"

func syncedFrame(syncID int64, now time.Time) []byte {
	return encode(contracts.SyncedFrameV1{
		Type: contracts.SyncedFrameV1Type, Version: contracts.SyncedFrameV1Version, Timestamp: now.UTC().Format(timestampForm), SyncID: syncID,
	})
}

// reconnectFrame says how long a connection has left, as far as the contract can say it.
func reconnectFrame(left time.Duration, now time.Time) []byte {
	left = min(max(left, 0), 2*time.Hour)
	return encode(contracts.ReconnectFrameV1{
		Type: contracts.ReconnectFrameV1Type, Version: contracts.ReconnectFrameV1Version, Timestamp: now.UTC().Format(timestampForm),
		Reason: contracts.ReconnectReasonLifetime, WithinMS: left.Milliseconds(),
	})
}

// maxPointer is the longest pointer, in characters, that the contract allows.
const maxPointer = 1024

func (r refusal) frame(now time.Time) []byte {
	f := contracts.ErrorFrameV1{
		Type: contracts.ErrorFrameV1Type, Version: contracts.ErrorFrameV1Version, Timestamp: now.UTC().Format(timestampForm),
		Code: r.code, Pointer: r.pointer, Rule: r.rule,
	}
	if r.pointer != nil && len(*r.pointer) > maxPointer {
		f.Pointer = nil
	}
	if r.syncID > 0 {
		f.SyncID = &r.syncID
	}
	if r.retryAfter > 0 {
		ms := (r.retryAfter + time.Millisecond - 1).Milliseconds()
		f.RetryAfterMS = &ms
	}
	return encode(f)
}

// encode writes what has a JSON form.
func encode(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // which would make some ids six times as long
	if err := encoder.Encode(v); err != nil {
		panic("session: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
