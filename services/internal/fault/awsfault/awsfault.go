// Package awsfault gives the errors of the AWS SDK their kinds, for all adapters alike.
package awsfault

import (
	"errors"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
)

// Codes are the error codes of one service and what to do about them, besides those that all
// services have.
type Codes map[string]fault.Kind

// common are the codes of all services, in the spellings of all protocols.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var common = Codes{
	"Throttling":           fault.Throttled,
	"ThrottlingException":  fault.Throttled,
	"RequestLimitExceeded": fault.Throttled,

	"InternalFailure":    fault.Transient,
	"ServiceUnavailable": fault.Transient,
	"RequestExpired":     fault.Transient,

	"AccessDenied":                        fault.Denied,
	"AccessDeniedException":               fault.Denied,
	"ExpiredToken":                        fault.Denied,
	"ExpiredTokenException":               fault.Denied,
	"IncompleteSignature":                 fault.Denied,
	"IncompleteSignatureException":        fault.Denied,
	"InvalidClientTokenId":                fault.Denied,
	"InvalidSignatureException":           fault.Denied,
	"MissingAuthenticationToken":          fault.Denied,
	"MissingAuthenticationTokenException": fault.Denied,
	"OptInRequired":                       fault.Denied,
	"SignatureDoesNotMatch":               fault.Denied,
	"UnrecognizedClientException":         fault.Denied,
}

// Classify gives the error of a call its kind; nil stays nil. Without an answer it is Transient.
func (c Codes) Classify(op string, err error) error {
	if err == nil {
		return nil
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fault.New(op, fault.Transient, err)
	}
	// A proxy's 5xx has no code, and the SDK does not say whose fault an unknown code is.
	answer, _ := errors.AsType[*awshttp.ResponseError](err)
	theirs := api.ErrorFault() == smithy.FaultServer || answer != nil && answer.HTTPStatusCode() >= http.StatusInternalServerError
	return fault.New(op, c.Kind(api.ErrorCode(), theirs), err)
}

// Kind returns the kind of a code. One that is not known is Transient if the service takes the
// blame for it, and otherwise Internal.
func (c Codes) Kind(code string, theirs bool) fault.Kind {
	code = code[strings.LastIndexByte(code, '.')+1:] // some protocols put the service in front
	for _, codes := range []Codes{c, common} {
		if kind, known := codes[code]; known {
			return kind
		}
	}
	if theirs {
		return fault.Transient
	}
	return fault.Internal
}
