package normalizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// source names this program in its events.
const source = "iops-dashboard/normalizer"

const timeLayout = "2006-01-02T15:04:05.000Z"

// Edition is a further major version of a type of events, published beside the one that is made here
// while consumers move from one to the other.
type Edition struct {
	Type    string
	Version int
	// Convert makes its event out of the one that is made here, with the same identity, tenant and
	// version of the entity, valid by its own schema and within its own size. It is pure. Where it
	// fails, neither event is published and the record is quarantined.
	Convert func(event []byte) ([]byte, error)
}

// messages are the events of an update as they are published, one in each major version: the body,
// and attributes for filter policies.
func messages(u update, v contracts.Version) ([]topic.Message, error) {
	form := u.kind.form()
	body := encode(u.kind.event(u.draft, v))
	all := []topic.Message{u.message(body, form.major)}
	for _, e := range form.editions {
		converted, err := e.convert(body)
		if err != nil {
			return nil, err
		}
		all = append(all, u.message(converted, e.Version))
	}
	return all, nil
}

func (e Edition) convert(event []byte) ([]byte, error) {
	converted, err := e.Convert(event)
	if err != nil {
		return nil, fmt.Errorf("cannot be said in %s/%d: %w", e.Type, e.Version, err)
	}
	return converted, nil
}

func (u update) message(body []byte, major int) topic.Message {
	return topic.Message{
		Body: string(body),
		Attributes: map[string]string{
			"type":        u.kind.form().eventType,
			"version":     strconv.Itoa(major),
			"entity_type": u.draft.Type,
			"tenant":      u.draft.tenant,
		},
	}
}

// encode writes an event. SQS refuses two of the characters that JSON allows: they are escaped.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func encode(event any) []byte {
	body := marshal(event)
	if bytes.Contains(body, []byte("\xef\xbf")) {
		body = bytes.ReplaceAll(body, []byte("\ufffe"), []byte(`\ufffe`))
		body = bytes.ReplaceAll(body, []byte("\uffff"), []byte(`\uffff`))
	}
	return body
}

// marshal writes what is known to have a JSON form.
func marshal(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("normalizer: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// traceParent is the trace context of a record, in the form of W3C. It is a hash, so that every
// retry and replay of the record joins the same trace.
// https://www.w3.org/TR/trace-context/#traceparent-header
func traceParent(arn, eventID string) string {
	sum := sha256.Sum256([]byte(arn + "\x00" + eventID))
	return "00-" + hex.EncodeToString(sum[:16]) + "-" + hex.EncodeToString(sum[16:24]) + "-01"
}
