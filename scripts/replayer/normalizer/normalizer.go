// Package normalizer gives stream records to the function that makes events of them, as Lambda's own mapping of the stream
// does.
package normalizer

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// maxEvent is the largest event of an invocation, in bytes.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (6 MB).
const maxEvent = 6 << 20

const head, tail = `{"Records":[`, `]}`

// Invoker is the call of Lambda that a sink makes; a [lambda.Client] has it.
type Invoker interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Sink is the function as the target of a run. It may be used concurrently.
type Sink struct {
	client   Invoker
	function string
	most     int // bytes of an event
}

var _ redrive.Sink = (*Sink)(nil)

// New returns the sink that invokes a function, named by its name or ARN. The client's own retries stay in force.
func New(client Invoker, function string) *Sink { return &Sink{client, function, maxEvent} }

// Send gives the bodies of the entries, which are stream records, to the function, in order, and waits for its answer. The
// attributes that tell of a replay go with the record; see [Mark].
//
// Records that the function names in its answer have failed, and all others are done: published, superseded, or in
// quarantine. Where it fails as a whole each half is given to it alone, so that one record that it cannot bear holds up
// no other. Nothing of an answer but the type of the error is in a failure: its text may quote a record.
func (s *Sink) Send(ctx context.Context, entries []redrive.Entry) (map[int]redrive.Failure, error) {
	failed := map[int]redrive.Failure{}
	var records []record
	for i, e := range entries {
		document, err := Mark(e.Body, e.Attributes)
		switch {
		case err != nil:
			failed[i] = redrive.Failure{Code: "no stream record", Message: err.Error(), Sender: true}
		case len(head)+len(document)+len(tail) > s.most:
			failed[i] = redrive.Failure{Code: "too large", Message: "it is larger than the event of an invocation may be", Sender: true}
		default:
			records = append(records, record{i, document})
		}
	}
	for first := true; len(records) > 0; first = false {
		n := s.fitting(records)
		if err := s.give(ctx, records[:n], failed); err != nil && first {
			return nil, err
		} else if err != nil { // what was given before is done all the same
			unconfirmed(records[:n], err, failed)
		}
		records = records[n:]
	}
	return failed, nil
}

// record is an entry on its way.
type record struct {
	index    int
	document string
}

// fitting is how many of the records fit an event.
func (s *Sink) fitting(records []record) int {
	size := len(head) + len(tail) - 1
	for i, r := range records {
		if size += len(r.document) + 1; size > s.most {
			return i
		}
	}
	return len(records)
}

// give invokes the function with the records, and if it fails with each half of them. It notes which of them failed. After
// an error nothing is known of them.
func (s *Sink) give(ctx context.Context, records []record, failed map[int]redrive.Failure) error {
	documents := make([]string, len(records))
	for i, r := range records {
		documents[i] = r.document
	}
	output, err := s.client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName:   &s.function,
		InvocationType: types.InvocationTypeRequestResponse,
		Payload:        []byte(head + strings.Join(documents, ",") + tail),
	})
	switch {
	case err != nil:
		return codes.Classify("invoke", err)
	case output.FunctionError != nil && len(records) > 1:
		middle := len(records) / 2
		for _, half := range [][]record{records[:middle], records[middle:]} {
			if err := s.give(ctx, half, failed); err != nil {
				unconfirmed(half, err, failed)
			}
		}
	case output.FunctionError != nil:
		failed[records[0].index] = redrive.Failure{Code: "function error" + errorType(output.Payload)}
	default:
		read(records, output.Payload, failed)
	}
	return nil
}

// unconfirmed notes that records may be done, or not.
func unconfirmed(records []record, err error, failed map[int]redrive.Failure) {
	for _, r := range records {
		failed[r.index] = redrive.Failure{Code: "no confirmation", Message: err.Error()}
	}
}

// read notes which records an answer says have failed: all, if it cannot be understood, or names one that was not given.
// Lambda is not as strict, and takes null for success; but then any function would do for the normalizer.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
func read(records []record, payload []byte, failed map[int]redrive.Failure) {
	all := func(code string) {
		for _, r := range records {
			failed[r.index] = redrive.Failure{Code: code}
		}
	}
	var answer map[string]json.RawMessage
	var failures []struct {
		Sequence string `json:"itemIdentifier"`
	}
	if json.Unmarshal(payload, &answer) != nil || json.Unmarshal(answer["batchItemFailures"], &failures) != nil {
		all("unreadable answer")
		return
	}
	given := map[string][]record{}
	for _, r := range records {
		sequence := r.sequence()
		given[sequence] = append(given[sequence], r)
	}
	for _, f := range failures {
		if f.Sequence == "" || given[f.Sequence] == nil {
			all("unknown record in the answer")
			return
		}
		for _, r := range given[f.Sequence] {
			failed[r.index] = redrive.Failure{Code: "failed in the normalizer"}
		}
	}
}

// sequence is the record's sequence number, or empty.
func (r record) sequence() string {
	var document struct {
		DynamoDB struct{ SequenceNumber string } `json:"dynamodb"`
	}
	_ = json.Unmarshal([]byte(r.document), &document) // what is odd elsewhere does not matter
	return document.DynamoDB.SequenceNumber
}

var plainType = regexp.MustCompile(`^[A-Za-z0-9_.*]{1,64}$`)

// errorType is what a function that failed says of the kind of its error, if it is plain.
func errorType(payload []byte) string {
	var says struct {
		ErrorType string `json:"errorType"`
	}
	if json.Unmarshal(payload, &says) != nil || !plainType.MatchString(says.ErrorType) {
		return ""
	}
	return ": " + says.ErrorType
}

// codes are those of Invoke: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
var codes = awsfault.Codes{
	Denied: []string{
		"EC2AccessDeniedException", "InvalidRuntimeException", "InvalidSecurityGroupIDException", "InvalidSubnetIDException", "InvalidZipFileException",
		"KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "ResourceNotFoundException",
	},
	Passes: []string{"ResourceConflictException", "ResourceNotReadyException", "SnapStartNotReadyException"},
}
