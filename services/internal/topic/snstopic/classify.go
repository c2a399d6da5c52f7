package snstopic

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// kinds maps the error codes of SNS, of calls and of single entries, to what to do about them.
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html#API_PublishBatch_Errors
var kinds = map[string]fault.Kind{
	"Throttled":                    fault.Throttled,
	"ThrottledException":           fault.Throttled,
	"Throttling":                   fault.Throttled,
	"ThrottlingException":          fault.Throttled,
	"RequestLimitExceeded":         fault.Throttled,
	"KMSThrottling":                fault.Throttled,
	"KMSThrottlingException":       fault.Throttled,
	"InternalError":                fault.Transient,
	"InternalErrorException":       fault.Transient,
	"InternalFailure":              fault.Transient,
	"ServiceUnavailable":           fault.Transient,
	"RequestExpired":               fault.Transient,
	"InvalidParameter":             fault.Invalid,
	"InvalidParameterException":    fault.Invalid,
	"InvalidParameterValue":        fault.Invalid,
	"ParameterValueInvalid":        fault.Invalid,
	"ValidationError":              fault.Invalid,
	"ValidationException":          fault.Invalid,
	"InvalidMessageContents":       fault.Invalid,
	"BatchRequestTooLong":          fault.Invalid,
	"BatchRequestTooLongException": fault.Invalid,
	"NotFound":                     fault.Denied, // the topic's name is configuration
	"NotFoundException":            fault.Denied,
	"AuthorizationError":           fault.Denied,
	"AuthorizationErrorException":  fault.Denied,
	"AccessDenied":                 fault.Denied,
	"AccessDeniedException":        fault.Denied,
	"EndpointDisabled":             fault.Denied,
	"InvalidSecurity":              fault.Denied,
	"InvalidSecurityException":     fault.Denied,
	"KMSAccessDenied":              fault.Denied,
	"KMSAccessDeniedException":     fault.Denied,
	"KMSDisabled":                  fault.Denied,
	"KMSDisabledException":         fault.Denied,
	"KMSInvalidState":              fault.Denied,
	"KMSInvalidStateException":     fault.Denied,
	"KMSNotFound":                  fault.Denied,
	"KMSNotFoundException":         fault.Denied,
	"KMSOptInRequired":             fault.Denied,
	"InvalidClientTokenId":         fault.Denied,
	"SignatureDoesNotMatch":        fault.Denied,
	"MissingAuthenticationToken":   fault.Denied,
	"ExpiredToken":                 fault.Denied,
	"ExpiredTokenException":        fault.Denied,
	"UnrecognizedClientException":  fault.Denied,
	"IncompleteSignature":          fault.Denied,
	"OptInRequired":                fault.Denied,
}

// classify gives the error of a whole call its kind.
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

// refusal gives the error of one entry its kind.
func refusal(e types.BatchResultErrorEntry) error {
	kind, known := kinds[aws.ToString(e.Code)]
	switch {
	case known:
	case e.SenderFault:
		kind = fault.Invalid
	default:
		kind = fault.Transient
	}
	return fault.Newf(op, kind, "%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
}
