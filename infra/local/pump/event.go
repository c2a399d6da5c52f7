package pump

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/iops-dashboard/live/infra/streamrecord"
)

// maxPayload is the largest event of an invocation, in bytes.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (6 MB).
const maxPayload = 6 << 20

const eventHead, eventTail = `{"Records":[`, `]}`

// record is a stream record in the form that Lambda gives to a function.
type record struct {
	sequence string
	created  time.Time // zero where the stream does not say
	document []byte
	passed   bool // over, by the filter
}

// event joins records to the event of one invocation.
func event(batch []record) []byte {
	size := len(eventHead) + len(eventTail) + len(batch)
	for _, r := range batch {
		size += len(r.document)
	}
	b := append(make([]byte, 0, size), eventHead...)
	for i, r := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.document...)
	}
	return append(b, eventTail...)
}

// cut tells how many of the first records fit one invocation: at most limit, and at most 6 MB unless the first alone
// is larger.
func cut(records []record, limit int) int {
	size := len(eventHead) + len(eventTail)
	for i, r := range records {
		size += len(r.document) + 1
		if i == limit || i > 0 && size-1 > maxPayload {
			return i
		}
	}
	return len(records)
}

// convert turns a record of GetRecords into one of a Lambda event.
func convert(in types.Record, streamARN string) (record, error) {
	if in.Dynamodb == nil || value(in.Dynamodb.SequenceNumber) == "" {
		return record{}, errors.New("no sequence number")
	}
	document, err := streamrecord.Encode(in, streamARN)
	if err != nil {
		return record{}, err
	}
	var created time.Time
	if at := in.Dynamodb.ApproximateCreationDateTime; at != nil {
		created = *at
	}
	return record{sequence: *in.Dynamodb.SequenceNumber, created: created, document: document}, nil
}

// marshal leaves <, > and & as they are: a text full of them would grow sixfold.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
