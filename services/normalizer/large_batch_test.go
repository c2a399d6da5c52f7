package normalizer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
	"github.com/iops-dashboard/live/services/normalizer"
)

// queue is a quarantine that holds what a queue would be sent.
type queue struct {
	mu     sync.Mutex
	bodies []string
}

func (q *queue) Put(_ context.Context, r quarantine.Record) error {
	body, err := sqsquarantine.Encode(r)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bodies = append(q.bodies, body)
	return nil
}

// largeItem is how much of DynamoDB's largest item, 400 KB, one attribute of a test takes.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const largeItem = 405_000

// invalid is a record of an entity whose health cannot be published and whose two images hold these
// attribute values besides.
func invalid(entity, sequence string, before, after any) change {
	image := func(value any) map[string]any {
		row := item(entity, map[string]any{"health_score": badHealth})
		row["notes"] = value
		return row
	}
	record := map[string]any{
		"eventID": "event-" + sequence, "eventName": "MODIFY",
		"eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/" + testLabel,
		"dynamodb": map[string]any{
			"Keys": item(entity, nil), "SequenceNumber": sequence, "OldImage": image(before), "NewImage": image(after),
		},
	}
	return change{raw: string(must(json.Marshal(record)))}
}

// random is a text of bytes drawn from an alphabet.
func random(seed uint64, alphabet string, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;:-_!?()"

func binary(seed uint64, n int) any {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	return map[string]any{"B": base64.StdEncoding.EncodeToString([]byte(random(seed, string(all[:]), n)))}
}

// Two images of 400 KB are 800 KB of payload and more: it is kept whole, and comes back to the byte.
func TestALargeRecordInQuarantineIsWhole(t *testing.T) {
	t.Parallel()
	deep := any(map[string]any{"S": strings.Repeat("x", largeItem-1000)})
	for range 31 {
		deep = map[string]any{"M": map[string]any{"a": deep}}
	}
	prose := func(seed uint64) any { return map[string]any{"S": random(seed, letters, largeItem)} }
	for name, c := range map[string]change{
		"texts of the same words": invalid("a", "1", map[string]any{"S": strings.Repeat("the same again ", largeItem/15)}, map[string]any{"S": strings.Repeat("the same again ", largeItem/15)}),
		"texts of any letters":    invalid("a", "1", prose(1), prose(2)),
		"the same twice":          invalid("a", "1", prose(1), prose(1)),
		"as deep as items go":     invalid("a", "1", deep, deep),
		"binary":                  invalid("a", "1", binary(1, 380_000), binary(2, 380_000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kept queue
			r := newRig(t, func(c *normalizer.Config) { c.Quarantine = &kept })
			if len(c.raw) < 800_000 {
				t.Fatalf("the record has only %d bytes", len(c.raw))
			}
			r.wantFailures(r.handle(t.Context(), put("b", "2", 2), c, put("c", "3", 3)))
			r.wantEvents("b UPSERT 1", "c UPSERT 1")
			if len(kept.bodies) != 1 {
				t.Fatalf("%d records in quarantine", len(kept.bodies))
			}
			if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(kept.bodies[0])); err != nil {
				t.Errorf("the message breaks its contract: %v", err)
			}
			back, err := sqsquarantine.Decode(kept.bodies[0])
			if err != nil || !bytes.Equal(back.Payload, []byte(c.raw)) {
				t.Fatalf("%d bytes came back of %d (%v)", len(back.Payload), len(c.raw), err)
			}
			if back.Reason.Pointer != "/dynamodb/NewImage/health_score" || back.Sequence != "1" || back.EntityID != "a" {
				t.Errorf("reason %+v of %s, %s", back.Reason, back.Sequence, back.EntityID)
			}
		})
	}
}

// Two images of 400 KB of noise fit no message, not even packed. Such a record is not dropped: it fails,
// loudly, until the stream hands it to the failure store. The others go on.
func TestARecordThatNoMessageHolds(t *testing.T) {
	t.Parallel()
	var kept queue
	r := newRig(t, func(c *normalizer.Config) { c.Quarantine = &kept })
	r.wantFailures(r.handle(t.Context(), put("b", "2", 2), invalid("a", "3", binary(1, largeItem), binary(2, largeItem)), put("a", "4", 4), put("c", "5", 5)), "3", "4")
	r.wantEvents("b UPSERT 1", "c UPSERT 1")
	r.wantLine(map[string]any{"records": 4, "applied": 2, "failed": 2, "kind": "too_large", "level": "ERROR"})
	if len(kept.bodies) != 0 || strings.Contains(r.log.String(), `"msg":"quarantined"`) {
		t.Errorf("%d records in quarantine: %.500s", len(kept.bodies), r.log.String())
	}
}
