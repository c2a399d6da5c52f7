package frame_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/frame"
)

func TestReconnect(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 7_900_000, time.FixedZone("", 3600))
	want := `{"type":"RECONNECT","version":1,"timestamp":"2026-03-01T11:00:00.007Z","reason":"REVOKED","within_ms":0}`
	if got := string(frame.Reconnect(contracts.ReconnectReasonRevoked, 0, now)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// However long is left, the contract can say it.
func TestReconnectIsAlwaysValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64().Draw(t, "left"))
		reason := rapid.SampledFrom([]contracts.ReconnectReason{
			contracts.ReconnectReasonLifetime, contracts.ReconnectReasonDraining, contracts.ReconnectReasonRevoked,
		}).Draw(t, "reason")
		if err := contracts.ValidateProducer(contracts.KindReconnectFrameV1, frame.Reconnect(reason, left, time.Now())); err != nil {
			t.Error(err)
		}
	})
}

func TestEncode(t *testing.T) {
	t.Parallel()
	if got := string(frame.Encode("a<b>&c")); got != `"a<b>&c"` {
		t.Errorf("Encode() = %s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("what has no form is encoded")
		}
	}()
	frame.Encode(func() {})
}
