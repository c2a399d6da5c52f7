package iam

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// signature is what the Authorization header of a signed request tells:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type signature struct{ key, region, service string }

func signatureOf(h http.Header) (signature, bool) {
	_, credential, ok := strings.Cut(h.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=")
	credential, _, _ = strings.Cut(credential, ",")
	parts := strings.Split(credential, "/") // key, date, region, service and a constant
	if !ok || len(parts) != 5 {
		return signature{}, false
	}
	return signature{key: parts[0], region: parts[2], service: parts[3]}, true
}

// unknown is what a call is on that names nothing.
const unknown = "*"

// calls reads what a request does. One that cannot be read does something that nobody was granted.
func calls(s signature, h http.Header, body []byte) []Call {
	switch s.service {
	case "dynamodb":
		return onTables(s.key, operation(h), body)
	case "sqs":
		return []Call{onQueue(s.key, operation(h), body)}
	case "sns":
		return []Call{onTopic(s.key, body)}
	}
	return []Call{{s.key, s.service + ":" + operation(h), unknown}}
}

// operation is that of the JSON protocols, without the version of the service.
func operation(h http.Header) string {
	target := h.Get("X-Amz-Target")
	return target[strings.LastIndexByte(target, '.')+1:]
}

// inTransaction are the actions by which the parts of a transaction are judged:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
var inTransaction = map[string]string{
	"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem",
}

// onTables reads a call of DynamoDB: a transaction is as many as it has parts, and a batch one for each table.
func onTables(caller, operation string, body []byte) []Call {
	var request struct {
		TableName, IndexName string
		RequestItems         map[string]json.RawMessage
		TransactItems        []map[string]struct{ TableName string }
	}
	action := "dynamodb:" + operation
	if json.Unmarshal(body, &request) != nil {
		return []Call{{caller, action, unknown}}
	}
	var all []Call
	for _, part := range request.TransactItems {
		for kind, on := range part {
			all = append(all, Call{caller, "dynamodb:" + inTransaction[kind], tableOf(on.TableName)})
		}
	}
	for table := range request.RequestItems {
		all = append(all, Call{caller, action, tableOf(table)})
	}
	if len(all) > 0 {
		return all
	}
	on := tableOf(request.TableName)
	if request.IndexName != "" {
		on += "/index/" + request.IndexName
	}
	return []Call{{caller, action, on}}
}

// tableOf is the name of a table that may be called by its ARN.
func tableOf(name string) string {
	if _, of, ok := strings.Cut(name, ":table/"); ok {
		name = of
	}
	if name == "" {
		return unknown
	}
	return name
}

// onQueue reads a call of SQS. Who may do something may do it in batches, by the same permission:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
func onQueue(caller, operation string, body []byte) Call {
	var request struct{ QueueUrl string }
	c := Call{caller, "sqs:" + strings.TrimSuffix(operation, "Batch"), unknown}
	if json.Unmarshal(body, &request) == nil && request.QueueUrl != "" {
		c.On = request.QueueUrl[strings.LastIndexByte(request.QueueUrl, '/')+1:]
	}
	return c
}

// onTopic reads a call of SNS, whose requests are forms. PublishBatch needs the permission of Publish:
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
func onTopic(caller string, body []byte) Call {
	form, err := url.ParseQuery(string(body))
	c := Call{caller, "sns:" + strings.TrimSuffix(form.Get("Action"), "Batch"), unknown}
	if arn := form.Get("TopicArn"); err == nil && arn != "" {
		c.On = arn[strings.LastIndexByte(arn, ':')+1:]
	}
	return c
}
