package sqsquarantine

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// MaxBytes is the size of the largest message of a queue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const MaxBytes = 1_048_576

// maxPlain is the largest payload that is kept readable. With it a message stays below 256 KiB,
// which queues took at most until 2025, and some servers still do.
const maxPlain = 200_000

// maxUnpacked bounds what a small message may unpack to, and so what may be packed. A Lambda event is at
// most 6 MB.
const maxUnpacked = 8 << 20

// Version is the version of the message's form.
const Version = 1

// message is the body of a message: a closed JSON object. Texts that are not known are absent.
type message struct {
	Version       int    `json:"version"` // 1
	QuarantinedAt string `json:"quarantined_at"`
	Reason        reason `json:"reason"`
	Source        string `json:"source,omitempty"` // ARN of the stream
	EventID       string `json:"event_id,omitempty"`
	Sequence      string `json:"sequence,omitempty"`
	Tenant        string `json:"tenant,omitempty"`
	EntityType    string `json:"entity_type,omitempty"`
	EntityID      string `json:"entity_id,omitempty"`
	TraceParent   string `json:"traceparent,omitempty"`
	// Exactly one of the two holds the stream record: itself, or gzipped and in base64 because it is
	// large, or no JSON, or beyond what documents of ours may hold: DynamoDB nests deeper.
	Record     json.RawMessage `json:"record,omitempty"`
	RecordGzip []byte          `json:"record_gzip,omitempty"`
}

type reason struct {
	Code    string `json:"code"`
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// notForSQS are the characters of JSON that SQS refuses in a body: they are escaped.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var notForSQS = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`)

// Encode returns the record as the body of a message: a JSON object with
//
//	version         1
//	quarantined_at  RFC 3339 in UTC with milliseconds
//	reason          {code, pointer, message}
//	source, event_id, sequence, tenant, entity_type, entity_id, traceparent
//	                texts, each absent where it could not be read
//	record          the stream record, or
//	record_gzip     the same, gzipped and in base64, where it is large, is not JSON, or is deeper than
//	                a document may be
//
// and nothing else. The error is of kind TooLarge where the record does not fit a message.
func Encode(r quarantine.Record) (string, error) {
	m := message{
		Version:       Version,
		QuarantinedAt: r.At.UTC().Format(timeLayout),
		Reason:        reason(r.Reason),
		Source:        r.Source,
		EventID:       r.EventID,
		Sequence:      r.Sequence,
		Tenant:        r.Tenant,
		EntityType:    r.EntityType,
		EntityID:      r.EntityID,
		TraceParent:   r.TraceParent,
	}
	if len(r.Payload) <= maxPlain && utf8.Valid(r.Payload) && json.Valid(r.Payload) {
		m.Record = r.Payload
		text, err := m.text()
		if err != nil || contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(text)) == nil {
			return text, err
		}
		m.Record = nil
	}
	if len(r.Payload) > maxUnpacked {
		return "", fault.Newf(op, fault.TooLarge, "the record has %d bytes", len(r.Payload))
	}
	packed, err := pack(r.Payload)
	if err != nil {
		return "", fault.New(op, fault.Internal, err)
	}
	m.RecordGzip = packed
	return m.text()
}

func (m message) text() (string, error) {
	var body strings.Builder
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		return "", fault.New(op, fault.Invalid, err)
	}
	text := notForSQS.Replace(strings.TrimSuffix(body.String(), "\n"))
	if len(text) > MaxBytes {
		return "", fault.Newf(op, fault.TooLarge, "the message has %d bytes", len(text))
	}
	return text, nil
}

// Decode reads what [Encode] wrote. Its errors are of kind Invalid.
func Decode(body string) (quarantine.Record, error) {
	refuse := func(err error) (quarantine.Record, error) {
		return quarantine.Record{}, fault.New("sqsquarantine.Decode", fault.Invalid, err)
	}
	var m message
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return refuse(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refuse(errors.New("something follows the message"))
	}
	at, err := time.Parse(timeLayout, m.QuarantinedAt)
	switch {
	case err != nil:
		return refuse(err)
	case m.Version != Version:
		return refuse(errors.New("unknown version"))
	case (m.Record == nil) == (m.RecordGzip == nil):
		return refuse(errors.New("wants either record or record_gzip"))
	}
	payload := []byte(m.Record)
	if m.RecordGzip != nil {
		if payload, err = unpack(m.RecordGzip); err != nil {
			return refuse(err)
		}
	}
	return quarantine.Record{
		Payload:     payload,
		Reason:      quarantine.Reason(m.Reason),
		At:          at,
		Source:      m.Source,
		EventID:     m.EventID,
		Sequence:    m.Sequence,
		Tenant:      m.Tenant,
		EntityType:  m.EntityType,
		EntityID:    m.EntityID,
		TraceParent: m.TraceParent,
	}, nil
}

func pack(payload []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(payload); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	payload, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, err
	}
	if len(payload) > maxUnpacked {
		return nil, errors.New("the record unpacks to more than 8 MiB")
	}
	return payload, nil
}
