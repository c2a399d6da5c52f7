// Package frame makes the frames that more than one stage posts, in the form that all of them have.
package frame

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/iops-dashboard/live/contracts"
)

// TimestampForm is the form of all times in frames, in UTC: RFC 3339, with milliseconds.
const TimestampForm = "2006-01-02T15:04:05.000Z"

// maxLeft is the most that a RECONNECT can say; see contracts/schemas/frames/reconnect.
const maxLeft = 2 * time.Hour

// Reconnect tells a client to move, why, and how long its connection has left, as far as the contract can say it.
func Reconnect(reason contracts.ReconnectReason, left time.Duration, now time.Time) []byte {
	left = min(max(left, 0), maxLeft)
	return Encode(contracts.ReconnectFrameV1{
		Type: contracts.ReconnectFrameV1Type, Version: contracts.ReconnectFrameV1Version, Timestamp: now.UTC().Format(TimestampForm),
		Reason: reason, WithinMS: left.Milliseconds(),
	})
}

// Encode writes a frame, or a part of one. It panics if v has no JSON form.
func Encode(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // which would make some ids six times as long
	if err := encoder.Encode(v); err != nil {
		panic("frame: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
