package normalizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/topic"
)

// source names this program in its events.
const source = "iops-dashboard/normalizer"

const timeLayout = "2006-01-02T15:04:05.000Z"

// message is the event of an update as it is published: the body, and attributes for filter
// policies.
func message(u update, v contracts.Version) topic.Message {
	return topic.Message{
		Body: string(encode(u.kind.event(u.draft, v))),
		Attributes: map[string]string{
			"type":        u.kind.form().eventType,
			"version":     "1",
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
