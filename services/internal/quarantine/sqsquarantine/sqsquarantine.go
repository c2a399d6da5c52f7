// Package sqsquarantine is a quarantine in an SQS queue.
package sqsquarantine

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

const op = "sqsquarantine.Put"

// Quarantine keeps each record as one message; [Encode] has its form. The client's retryer decides
// about retries within a call.
type Quarantine struct {
	client *sqs.Client
	url    string
}

// New returns the quarantine in the queue with this URL, which must exist.
func New(client *sqs.Client, url string) *Quarantine { return &Quarantine{client, url} }

var _ quarantine.Quarantine = (*Quarantine)(nil)

// Put implements [quarantine.Quarantine].
func (q *Quarantine) Put(ctx context.Context, r quarantine.Record) error {
	body, err := Encode(r)
	if err != nil {
		return err
	}
	if _, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body}); err != nil {
		return classify(err)
	}
	return nil
}

// kinds maps the error codes of SQS to what to do about them.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
var kinds = map[string]fault.Kind{
	"RequestThrottled":                        fault.Throttled,
	"ThrottlingException":                     fault.Throttled,
	"OverLimit":                               fault.Throttled,
	"KmsThrottled":                            fault.Throttled,
	"InternalError":                           fault.Transient,
	"InternalFailure":                         fault.Transient,
	"ServiceUnavailable":                      fault.Transient,
	"InvalidMessageContents":                  fault.Invalid,
	"InvalidParameterValue":                   fault.Invalid,
	"QueueDoesNotExist":                       fault.Denied, // the queue's URL is configuration
	"AWS.SimpleQueueService.NonExistentQueue": fault.Denied,
	"InvalidAddress":                          fault.Denied,
	"InvalidSecurity":                         fault.Denied,
	"UnsupportedOperation":                    fault.Denied,
	"AccessDenied":                            fault.Denied,
	"AccessDeniedException":                   fault.Denied,
	"KmsAccessDenied":                         fault.Denied,
	"KmsDisabled":                             fault.Denied,
	"KmsInvalidKeyUsage":                      fault.Denied,
	"KmsInvalidState":                         fault.Denied,
	"KmsNotFound":                             fault.Denied,
	"KmsOptInRequired":                        fault.Denied,
	"InvalidClientTokenId":                    fault.Denied,
	"SignatureDoesNotMatch":                   fault.Denied,
	"ExpiredToken":                            fault.Denied,
	"ExpiredTokenException":                   fault.Denied,
	"UnrecognizedClientException":             fault.Denied,
	"MissingAuthenticationToken":              fault.Denied,
}

func classify(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fault.New(op, fault.Transient, err) // no answer was had
	}
	kind, known := kinds[api.ErrorCode()]
	if !known && api.ErrorFault() == smithy.FaultServer {
		kind = fault.Transient
	}
	return fault.New(op, kind, err)
}
