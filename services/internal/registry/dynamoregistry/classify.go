package dynamoregistry

import (
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
)

// classify gives an error of the SDK its kind; nil stays nil. That of a cancelled transaction is the
// kind of its first reason.
func classify(op string, err error) error {
	for _, code := range reasons(err) {
		if code != "None" {
			return fault.New(op, awsfault.DynamoDB.Kind(code, false), err)
		}
	}
	return awsfault.DynamoDB.Classify(op, err)
}

// conflict reports whether err means that another transaction holds the item.
func conflict(err error) bool {
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return true
	}
	return slices.Contains(reasons(err), "TransactionConflict")
}

// reasons are the codes for which a transaction was cancelled, one for each of its items.
func reasons(err error) []string {
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return nil
	}
	var codes []string
	for _, reason := range cancelled.CancellationReasons {
		codes = append(codes, aws.ToString(reason.Code))
	}
	return codes
}
