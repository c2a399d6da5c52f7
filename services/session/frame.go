package session

import (
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/frame"
)

func syncedFrame(syncID int64, now time.Time) []byte {
	return frame.Encode(contracts.SyncedFrameV1{
		Type: contracts.SyncedFrameV1Type, Version: contracts.SyncedFrameV1Version, Timestamp: now.UTC().Format(frame.TimestampForm), SyncID: syncID,
	})
}

// maxPointer is the longest pointer, in characters, that the contract allows.
const maxPointer = 1024

func (r refusal) frame(now time.Time) []byte {
	f := contracts.ErrorFrameV1{
		Type: contracts.ErrorFrameV1Type, Version: contracts.ErrorFrameV1Version, Timestamp: now.UTC().Format(frame.TimestampForm),
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
	return frame.Encode(f)
}
