package dynamostate

import (
	"errors"

	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// kinds maps DynamoDB's error codes to what to do about them.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
var kinds = map[string]fault.Kind{
	"ProvisionedThroughputExceededException": fault.Throttled,
	"ThrottlingException":                    fault.Throttled,
	"RequestLimitExceeded":                   fault.Throttled,
	"LimitExceededException":                 fault.Throttled,

	"TransactionConflictException":     fault.Transient,
	"ReplicatedWriteConflictException": fault.Transient,
	"InternalServerError":              fault.Transient,
	"ServiceUnavailable":               fault.Transient,

	"ValidationException":                      fault.Invalid,
	"ItemCollectionSizeLimitExceededException": fault.TooLarge,

	"AccessDeniedException":               fault.Denied,
	"ResourceNotFoundException":           fault.Denied, // the table's name is configuration
	"UnrecognizedClientException":         fault.Denied,
	"InvalidSignatureException":           fault.Denied,
	"MissingAuthenticationTokenException": fault.Denied,
	"IncompleteSignatureException":        fault.Denied,
	"ExpiredTokenException":               fault.Denied,
}

// classify gives an error of the SDK its kind.
func classify(op string, err error) error {
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
