package normalizer

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// record is a stream record as Lambda delivers it, reduced to what is used. An attribute is
// decoded only when its name is one that may leave the table.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
type record struct {
	EventID        string `json:"eventID"`
	EventName      string `json:"eventName"`
	EventSourceARN string `json:"eventSourceARN"`
	UserIdentity   struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
	} `json:"userIdentity"`
	DynamoDB struct {
		Created        json.RawMessage `json:"ApproximateCreationDateTime"` // a number of seconds
		Keys           image           `json:"Keys"`
		NewImage       image           `json:"NewImage"`
		OldImage       image           `json:"OldImage"`
		SequenceNumber string          `json:"SequenceNumber"`
	} `json:"dynamodb"`
}

// image is an item, its attribute values undecoded. It is nil where the record has none.
type image map[string]json.RawMessage

// decode reads what it can. Where a part has the wrong shape the rest is read all the same, so
// that a record which is to be refused can still be named.
func decode(payload []byte) (record, *quarantine.Reason) {
	var r record
	err := json.Unmarshal(payload, &r)
	if err == nil {
		return r, nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		pointer := ""
		if wrong.Field != "" {
			pointer = "/" + strings.ReplaceAll(wrong.Field, ".", "/")
		}
		return r, &quarantine.Reason{Code: "type", Pointer: pointer, Message: "must not be a JSON " + wrong.Value}
	}
	return r, &quarantine.Reason{Code: "syntax", Message: "is not a stream record"}
}

// label is the part of the stream's ARN that tells one stream of a table from the next.
func (r *record) label() string {
	_, label, _ := strings.Cut(r.EventSourceARN, "/stream/")
	return label
}

// table is the name of the table whose stream has the record, or empty.
func (r *record) table() string {
	_, rest, _ := strings.Cut(r.EventSourceARN, ":table/")
	name, _, _ := strings.Cut(rest, "/stream/")
	return name
}

// created is when the stream saw the change, to a second or better, or otherwise if that is not
// to be had.
func (r *record) created(otherwise time.Time) time.Time {
	const endOfYear9999 = 253_402_300_800
	seconds, err := strconv.ParseFloat(string(r.DynamoDB.Created), 64)
	if err != nil || seconds <= 0 || seconds >= endOfYear9999 {
		return otherwise
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
}

// expired reports whether the item's time to live ended, for a record that removes it.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
func (r *record) expired() bool {
	return r.UserIdentity.Type == "Service" && r.UserIdentity.PrincipalID == "dynamodb.amazonaws.com"
}
