package contracttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/contracts/contracttest"
)

// callList is a consumer as another team may write it, with nothing of ours: it names the few fields that
// it needs, and leaves all others alone.
type callList []string

func (l *callList) read(document []byte) error {
	var event struct {
		Type       string `json:"type"`
		DataSchema string `json:"dataschema"`
		Data       struct {
			EntityID string `json:"entity_id"`
			Current  struct {
				HealthScore *float64 `json:"health_score"`
			} `json:"current"`
		} `json:"data"`
	}
	if err := json.Unmarshal(document, &event); err != nil {
		return err
	}
	if event.Type != "METRIC_UPDATE" {
		return fmt.Errorf("an event of another type: %q", event.Type)
	}
	if event.DataSchema != "https://iops-dashboard.dev/contracts/events/metric-update/v1.json" {
		return errors.New("another major version")
	}
	if health := event.Data.Current.HealthScore; health != nil && *health < 50 {
		*l = append(*l, event.Data.EntityID)
	}
	return nil
}

func TestCallList(t *testing.T) {
	contracttest.Consumer(t, new(callList).read, contracts.KindMetricUpdateV1)
}

func ExampleConsumer() {
	var t *testing.T // what go test hands to your TestConsumer(t *testing.T)
	read := func(document []byte) error {
		_, err := contracts.DecodeEvent(document) // or your own code
		return err
	}
	contracttest.Consumer(t, read, contracts.KindMetricUpdateV1)
}
