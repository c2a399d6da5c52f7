package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// writers bounds the calls that are under way.
	writers      = 64
	writeTimeout = 10 * time.Second
)

// updater is what a journal is written to.
type updater interface {
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// newDynamoDB is a client of the DynamoDB that an env file names.
func newDynamoDB(env map[string]string) *dynamodb.Client {
	return dynamodb.NewFromConfig(aws.Config{
		Region:       env["AWS_REGION"],
		Credentials:  credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
		BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_DYNAMODB"]),
		HTTPClient:   awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = writers }),
	})
}

// write makes all writes of the journal, so many a second, and returns when all calls have ended.
// Each entity is one writer's, who waits for one write before the next: values rise in the table as
// they do here. A writer who is late does not wait. It ends early only with ctx.
func (j *journal) write(ctx context.Context, to updater, table string, rate int) {
	var all sync.WaitGroup
	entities := len(j.names)
	crew := min(writers, entities)
	for me := range crew {
		all.Go(func() {
			for n := range j.writes {
				if n%entities%crew != me {
					continue
				}
				due := j.began.Add(time.Duration(n) * time.Second / time.Duration(rate))
				select {
				case <-time.After(time.Until(due)):
				case <-ctx.Done():
					return
				}
				now := time.Now()
				j.writes[n].at = now.Sub(j.began)
				j.writes[n].err = j.put(ctx, to, table, n, now)
			}
		})
	}
	all.Wait()
}

// put writes a whole row, as large as any.
func (j *journal) put(ctx context.Context, to updater, table string, n int, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	number := func(text string) types.AttributeValue { return &types.AttributeValueMemberN{Value: text} }
	text := func(text string) types.AttributeValue { return &types.AttributeValueMemberS{Value: text} }
	_, err := to.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &table,
		Key:       map[string]types.AttributeValue{"entity_id": text(j.names[n%len(j.names)]), "entity_type": text("student")},
		UpdateExpression: aws.String("SET sessions_7d = :s7, sessions_14d = :s14, sessions_30d = :value, ib_calls_7d = :c7, ib_calls_14d = :c14, " +
			"avg_rating = :rating, health_score = :health, churn_risk_14d = :risk, #segment = :segment, last_updated = :now"),
		ExpressionAttributeNames: map[string]string{"#segment": "segment"}, // a word of DynamoDB's own
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":s7": number("3"), ":s14": number("6"), ":value": number(strconv.Itoa(j.first + n)), ":c7": number("1"), ":c14": number("2"),
			":rating": number("4.75"), ":health": number("82.5"), ":risk": number("0.08"), ":segment": text("healthy"),
			":now": text(now.UTC().Format("2006-01-02T15:04:05.000Z")),
		},
	})
	return err
}
