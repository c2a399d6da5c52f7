// Package awsfault gives the errors of the AWS SDK the kinds of [redrive].
package awsfault

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// Codes are error codes of one service, besides those that all services have.
type Codes struct {
	Denied []string // fail all calls until somebody mends it
	Passes []string // a 4xx that heals by itself
}

// common are the codes of all services, in the spellings of all protocols:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var common = Codes{
	Denied: []string{
		"AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException",
		"InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
	},
	Passes: []string{
		"LimitExceededException", "RequestExpired", "RequestLimitExceeded", "RequestTimeout", "RequestTooSkewed", "SlowDown", "Throttling",
		"ThrottlingException", "TooManyRequestsException",
	},
}

// SQS and DynamoDB have codes of their own.
var (
	SQS = Codes{
		Denied: []string{
			"NonExistentQueue", "QueueDoesNotExist", "InvalidAddress", "InvalidSecurity",
			"KmsAccessDenied", "KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired",
		},
		Passes: []string{"RequestThrottled", "OverLimit", "KmsThrottled"},
	}
	DynamoDB = Codes{
		Denied: []string{"ResourceNotFoundException"},
		Passes: []string{"ProvisionedThroughputExceededException", "InternalServerError"},
	}
)

// Code is the error code of the service's answer, without what some protocols put in front; empty where there was none.
func Code(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	code := api.ErrorCode()
	return code[strings.LastIndexByte(code, '.')+1:]
}

// Classify marks the error of a call as [redrive.ErrDenied] or [redrive.ErrRefused], if it is one of the two, and says
// what was done.
func (c Codes) Classify(op string, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	code, status := Code(err), 0
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	switch {
	case slices.Contains(c.Denied, code), slices.Contains(common.Denied, code):
		return fmt.Errorf("%s: %w: %w", op, redrive.ErrDenied, err)
	case slices.Contains(c.Passes, code), slices.Contains(common.Passes, code):
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError, api.ErrorFault() == smithy.FaultClient:
		return fmt.Errorf("%s: %w: %w", op, redrive.ErrRefused, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}
