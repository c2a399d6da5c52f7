package state_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/state"
)

func TestKeysOfInsightsTellThemApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := contracts.InsightID{
			Pk: "insight#" + rapid.StringMatching(`[a/#Z:.é ]{1,8}`).Draw(t, "entity"),
			Sk: rapid.SampledFrom([]string{"2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00Z", "2026-11-22T12:00:00.123+02:00"}).Draw(t, "time"),
		}
		k := state.InsightKey("acme", id)
		if got, ok := k.InsightID(); !ok || got != id {
			t.Fatalf("%q reads as %+v, %v", k.EntityID, got, ok)
		}
	})
}

func TestKeysOfEntitiesAreNoInsights(t *testing.T) {
	t.Parallel()
	for _, k := range []state.Key{{EntityType: "student", EntityID: "2026-11-22T10:00:00Z/insight#a"}, {EntityType: state.InsightType, EntityID: "a"}} {
		if id, ok := k.InsightID(); ok {
			t.Errorf("%+v reads as %+v", k, id)
		}
	}
}

// DynamoDB takes no longer sort key.
func TestAnIDThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	c := state.Change{Key: state.Key{Tenant: "t", EntityType: "e"}, At: state.Position{Label: "l", Sequence: "1"}}
	for n, good := range map[int]bool{state.MaxIDBytes: true, state.MaxIDBytes + 1: false} {
		c.EntityID = string(make([]byte, n))
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("an id of %d bytes: %v", n, err)
		}
	}
}
