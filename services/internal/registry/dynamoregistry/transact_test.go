package dynamoregistry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/dynamoregistry"
	"github.com/iops-dashboard/live/services/internal/registry/registrytest"
)

// idempotent is a transport that judges transactions as DynamoDB does, and its engine on one machine does not: a
// token that comes again with another body is refused.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
type idempotent struct {
	next      dynamodb.HTTPClient
	conflicts int // to answer with, to the first transactions

	mu     sync.Mutex
	calls  int
	bodies map[string]string // by token
}

func (d *idempotent) Do(request *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(request.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		return d.next.Do(request)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	var call map[string]json.RawMessage
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, err
	}
	token := string(call["ClientRequestToken"])
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	was, known := d.bodies[token]
	if d.bodies[token] = string(call["TransactItems"]); known && was != d.bodies[token] {
		return answer(request, `{"__type":"com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"}`), nil
	}
	if d.calls <= d.conflicts {
		return answer(request, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",`+
			`"CancellationReasons":[{"Code":"TransactionConflict"}]}`), nil
	}
	return d.next.Do(request)
}

func answer(request *http.Request, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// Those of a subject that open at the same time begin again, with another transaction.
func TestAnotherTransactionHasAnotherToken(t *testing.T) {
	t.Parallel()
	table := awstest.Table(t)
	other := dynamoregistry.New(awstest.DynamoDB(t), table, dynamoregistry.Options{PerSubject: 3})
	overtaken := 0
	client := intercepted(t, func(ctx context.Context, input any) error {
		if _, ok := input.(*dynamodb.TransactWriteItemsInput); !ok || overtaken == 2 {
			return nil
		}
		overtaken++
		return other.Open(ctx, adas(overtaken))
	})
	options := client.Options()
	transport := &idempotent{next: options.HTTPClient, bodies: map[string]string{}}
	options.HTTPClient = transport
	if err := dynamoregistry.New(dynamodb.New(options), table, dynamoregistry.Options{PerSubject: 3}).Open(t.Context(), adas(9)); err != nil {
		t.Errorf("Open, which others overtook: %v", err)
	}
	if transport.calls != 3 || len(transport.bodies) != 3 {
		t.Errorf("%d transactions with %d tokens, want 3 with 3", transport.calls, len(transport.bodies))
	}
}

// A conflict is no answer to the transaction: it is sent again as a new one.
func TestATransactionAfterAConflictHasAnotherToken(t *testing.T) {
	t.Parallel()
	options := awstest.DynamoDB(t).Options()
	transport := &idempotent{next: options.HTTPClient, bodies: map[string]string{}, conflicts: 2}
	options.HTTPClient = transport
	r, c := dynamoregistry.New(dynamodb.New(options), awstest.Table(t), dynamoregistry.Options{}), registrytest.Connection("acme", 1)
	if err := r.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	subscribe(t, r, c.ID, registry.Subscription{SyncID: 1, Views: map[string]string{"student": "s"}})
	if transport.calls != 4 || len(transport.bodies) != 4 {
		t.Errorf("%d transactions with %d tokens, want 4 with 4", transport.calls, len(transport.bodies))
	}
}
