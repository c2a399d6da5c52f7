package normalizer_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/contracts/nextmajor"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/normalizer"
)

// both publishes METRIC_UPDATE in two major versions.
func both(c *normalizer.Config) {
	c.Editions = []normalizer.Edition{{
		Type: contracts.MetricUpdateV1Type, Version: nextmajor.Version, Convert: nextmajor.UpEvent,
	}}
}

func TestARecordIsDoneOnlyWithAllItsEditions(t *testing.T) {
	t.Parallel()
	r := newRig(t, both)
	r.topic.Refuse(func(m topic.Message) error {
		if m.Attributes["version"] == "2" {
			return fault.New("test", fault.Denied, nil)
		}
		return nil
	})
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("a", "2", 2)), "1", "2")
	r.topic.Refuse(nil)
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1)))
	if got := versions(r); !maps.Equal(got, map[string]int{"1": 2, "2": 1}) { // the retry repeats the first
		t.Errorf("published by version: %v", got)
	}
}

func TestEachUpdateIsPublishedInEveryEdition(t *testing.T) {
	t.Parallel()
	r := newRig(t, both)
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2), put("a", "3", 3)))
	if got := versions(r); !maps.Equal(got, map[string]int{"1": 3, "2": 3}) {
		t.Errorf("published by version: %v", got)
	}
	seen := map[string]int{}
	for _, m := range r.topic.Messages() {
		var event contracts.MetricUpdateV1
		var err error
		if m.Attributes["version"] == "2" {
			event, err = nextmajor.Decode([]byte(m.Body))
		} else {
			event, err = contracts.DecodeEvent([]byte(m.Body))
		}
		if err != nil {
			t.Fatalf("%v in %s", err, m.Body)
		}
		seen[event.ID+" "+event.Data.EntityID+" "+string(event.Data.Operation)]++
		if m.Attributes["type"] != contracts.MetricUpdateV1Type || m.Attributes["tenant"] != event.Tenant {
			t.Errorf("attributes %v", m.Attributes)
		}
	}
	for event, n := range seen {
		if n != 2 {
			t.Errorf("%s in %d editions", event, n)
		}
	}
}

func TestARecordThatAnEditionCannotSayIsQuarantined(t *testing.T) {
	t.Parallel()
	mute := func(c *normalizer.Config) {
		both(c)
		c.Editions[0].Convert = func(event []byte) ([]byte, error) {
			if strings.Contains(string(event), `"entity_id":"a"`) {
				return nil, errors.New("no word for it")
			}
			return nextmajor.UpEvent(event)
		}
	}
	r := newRig(t, mute)
	r.wantFailures(r.handle(t.Context(), put("a", "1", 1), put("b", "2", 2)))
	r.wantReasons("1 edition ")
	if got := versions(r); !maps.Equal(got, map[string]int{"1": 1, "2": 1}) {
		t.Errorf("published by version: %v", got)
	}
}

// versions counts what was published by the attribute that filter policies see.
func versions(r *rig) map[string]int {
	count := map[string]int{}
	for _, m := range r.topic.Messages() {
		count[m.Attributes["version"]]++
	}
	return count
}
