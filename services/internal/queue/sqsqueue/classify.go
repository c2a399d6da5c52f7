package sqsqueue

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// codePrefix is in front of some codes, depending on the protocol and the server.
const codePrefix = "AWS.SimpleQueueService."

// kinds maps SQS's error codes to what to do.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var kinds = map[string]fault.Kind{
	"ThrottlingException": fault.Throttled,
	"RequestThrottled":    fault.Throttled,
	"Throttling":          fault.Throttled,
	"OverLimit":           fault.Throttled, // too many messages in flight

	"InternalError":        fault.Transient,
	"InternalFailure":      fault.Transient,
	"ServiceUnavailable":   fault.Transient,
	"QueueDeletedRecently": fault.Transient,

	"QueueDoesNotExist":           fault.Denied, // the queue's address is configuration
	"NonExistentQueue":            fault.Denied,
	"InvalidAddress":              fault.Denied,
	"AccessDenied":                fault.Denied,
	"AccessDeniedException":       fault.Denied,
	"InvalidClientTokenId":        fault.Denied,
	"UnrecognizedClientException": fault.Denied,
	"SignatureDoesNotMatch":       fault.Denied,
	"InvalidSignatureException":   fault.Denied,
	"ExpiredToken":                fault.Denied,
	"ExpiredTokenException":       fault.Denied,
	"KmsAccessDenied":             fault.Denied,

	"MessageTooLong":         fault.TooLarge,
	"BatchRequestTooLong":    fault.TooLarge,
	"InvalidMessageContents": fault.Invalid,
	"ReceiptHandleIsInvalid": fault.Invalid,
}

// classify gives an error of the SDK its kind.
func classify(op string, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fault.New(op, fault.Transient, err) // it did not get as far as an answer
	}
	code := strings.TrimPrefix(api.ErrorCode(), codePrefix)
	kind, known := kinds[code]
	switch {
	case !known && api.ErrorFault() == smithy.FaultServer:
		kind = fault.Transient
	case strings.HasSuffix(code, "InvalidParameterValue") && strings.Contains(api.ErrorMessage(), "must be shorter than"):
		kind = fault.TooLarge // SQS has no code of its own for it
	}
	return fault.New(op, kind, err)
}

// entryError gives a failed entry of a batch its kind.
func entryError(op string, entry types.BatchResultErrorEntry) error {
	code := strings.TrimPrefix(aws.ToString(entry.Code), codePrefix)
	kind, known := kinds[code]
	if !known && !entry.SenderFault {
		kind = fault.Transient
	}
	return fault.Newf(op, kind, "%s: %s", code, aws.ToString(entry.Message))
}
