package dynamoregistry

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// kinds maps DynamoDB's error codes, and the codes of cancellation reasons, to what to do.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
var kinds = map[string]fault.Kind{
	"ProvisionedThroughputExceededException": fault.Throttled,
	"ProvisionedThroughputExceeded":          fault.Throttled,
	"ThrottlingException":                    fault.Throttled,
	"ThrottlingError":                        fault.Throttled,
	"RequestLimitExceeded":                   fault.Throttled,
	"LimitExceededException":                 fault.Throttled,

	"TransactionConflictException":   fault.Transient,
	"TransactionConflict":            fault.Transient,
	"TransactionInProgressException": fault.Transient,
	"InternalServerError":            fault.Transient,
	"ServiceUnavailable":             fault.Transient,

	"AccessDeniedException":                fault.Denied,
	"ResourceNotFoundException":            fault.Denied, // the table's name is configuration
	"UnrecognizedClientException":          fault.Denied,
	"InvalidSignatureException":            fault.Denied,
	"MissingAuthenticationTokenException":  fault.Denied,
	"IncompleteSignatureException":         fault.Denied,
	"ExpiredTokenException":                fault.Denied,
	"ItemCollectionSizeLimitExceededError": fault.TooLarge,
}

// classify gives an error of the SDK its kind; nil stays nil.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		for _, reason := range cancelled.CancellationReasons {
			if reason.Code == nil || *reason.Code == "None" {
				continue
			}
			return fault.New(op, kinds[*reason.Code], err) // unknown: Internal
		}
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fault.New(op, fault.Transient, err) // it did not get as far as an answer
	}
	kind, known := kinds[api.ErrorCode()]
	if !known && api.ErrorFault() == smithy.FaultServer {
		kind = fault.Transient
	}
	return fault.New(op, kind, err)
}

// conflict reports whether err means that another transaction holds the item.
func conflict(err error) bool {
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return true
	}
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return false
	}
	for _, reason := range cancelled.CancellationReasons {
		if reason.Code != nil && *reason.Code == "TransactionConflict" {
			return true
		}
	}
	return false
}
