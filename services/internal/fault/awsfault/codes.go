package awsfault

import "github.com/iops-dashboard/live/services/internal/fault"

// DynamoDB has the codes of calls, and those of the reasons for which a transaction is cancelled.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
var DynamoDB = Codes{
	"ProvisionedThroughputExceededException": fault.Throttled,
	"ProvisionedThroughputExceeded":          fault.Throttled,
	"ThrottlingError":                        fault.Throttled,
	"LimitExceededException":                 fault.Throttled,

	"TransactionConflictException":     fault.Transient,
	"TransactionConflict":              fault.Transient,
	"TransactionInProgressException":   fault.Transient,
	"ReplicatedWriteConflictException": fault.Transient,
	"InternalServerError":              fault.Transient,

	// The adapters check what they send, so it is the table that is not what they think.
	"ValidationException":                      fault.Denied,
	"ItemCollectionSizeLimitExceededException": fault.TooLarge,
	"ItemCollectionSizeLimitExceeded":          fault.TooLarge,

	"ResourceNotFoundException": fault.Denied, // the table's name is configuration
}

// SQS has the codes of calls and of the entries of batches.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
var SQS = Codes{
	"RequestThrottled": fault.Throttled,
	"OverLimit":        fault.Throttled, // too many messages in flight
	"KmsThrottled":     fault.Throttled,

	"InternalError":        fault.Transient,
	"QueueDeletedRecently": fault.Transient,

	"InvalidMessageContents": fault.Invalid,
	"InvalidParameterValue":  fault.Invalid,
	"ReceiptHandleIsInvalid": fault.Invalid,
	"MessageTooLong":         fault.TooLarge,
	"BatchRequestTooLong":    fault.TooLarge,

	"QueueDoesNotExist":    fault.Denied, // the queue's address is configuration
	"NonExistentQueue":     fault.Denied,
	"InvalidAddress":       fault.Denied,
	"InvalidSecurity":      fault.Denied,
	"UnsupportedOperation": fault.Denied,
	"KmsAccessDenied":      fault.Denied,
	"KmsDisabled":          fault.Denied,
	"KmsInvalidKeyUsage":   fault.Denied,
	"KmsInvalidState":      fault.Denied,
	"KmsNotFound":          fault.Denied,
	"KmsOptInRequired":     fault.Denied,
}

// SNS has the codes of calls and of the entries of batches.
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html#API_PublishBatch_Errors
var SNS = Codes{
	"Throttled":              fault.Throttled,
	"ThrottledException":     fault.Throttled,
	"KMSThrottling":          fault.Throttled,
	"KMSThrottlingException": fault.Throttled,

	"InternalError":          fault.Transient,
	"InternalErrorException": fault.Transient,

	"InvalidParameter":             fault.Invalid,
	"InvalidParameterException":    fault.Invalid,
	"InvalidParameterValue":        fault.Invalid,
	"ParameterValueInvalid":        fault.Invalid,
	"ValidationError":              fault.Invalid,
	"ValidationException":          fault.Invalid,
	"InvalidMessageContents":       fault.Invalid,
	"BatchRequestTooLong":          fault.Invalid,
	"BatchRequestTooLongException": fault.Invalid,

	"NotFound":                    fault.Denied, // the topic's name is configuration
	"NotFoundException":           fault.Denied,
	"AuthorizationError":          fault.Denied,
	"AuthorizationErrorException": fault.Denied,
	"EndpointDisabled":            fault.Denied,
	"InvalidSecurity":             fault.Denied,
	"InvalidSecurityException":    fault.Denied,
	"KMSAccessDenied":             fault.Denied,
	"KMSAccessDeniedException":    fault.Denied,
	"KMSDisabled":                 fault.Denied,
	"KMSDisabledException":        fault.Denied,
	"KMSInvalidState":             fault.Denied,
	"KMSInvalidStateException":    fault.Denied,
	"KMSNotFound":                 fault.Denied,
	"KMSNotFoundException":        fault.Denied,
	"KMSOptInRequired":            fault.Denied,
}
