package sqsqueue

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
)

// classify gives an error of the SDK its kind.
func classify(op string, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if ok && strings.HasSuffix(api.ErrorCode(), "InvalidParameterValue") && strings.Contains(api.ErrorMessage(), "must be shorter than") {
		return fault.New(op, fault.TooLarge, err) // SQS has no code of its own for it
	}
	return awsfault.SQS.Classify(op, err)
}

// entryError gives a failed entry of a batch its kind.
func entryError(op string, entry types.BatchResultErrorEntry) error {
	code := aws.ToString(entry.Code)
	return fault.Newf(op, awsfault.SQS.Kind(code, !entry.SenderFault), "%s: %s", code, aws.ToString(entry.Message))
}
