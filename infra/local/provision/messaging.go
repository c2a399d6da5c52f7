package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/infra/topology"
)

func topics(ctx context.Context, client *sns.Client, all []topology.Topic) (map[string]string, error) {
	arns := map[string]string{}
	for _, t := range all {
		out, err := client.CreateTopic(ctx, &sns.CreateTopicInput{Name: &t.Name})
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, err)
		}
		arns[t.Name] = aws.ToString(out.TopicArn)
	}
	return arns, nil
}

// queues creates the places of rest first, because a source names its dead-letter queue by ARN.
func queues(ctx context.Context, client *sqs.Client, all []topology.Queue) (map[string]string, error) {
	ordered := slices.Clone(all)
	slices.SortStableFunc(ordered, func(a, b topology.Queue) int { return len(a.DeadLetter) - len(b.DeadLetter) })
	urls := map[string]string{}
	for _, q := range ordered {
		url, err := queue(ctx, client, q, urls[q.DeadLetter])
		if err != nil {
			return nil, fmt.Errorf("queue %s: %w", q.Name, err)
		}
		urls[q.Name] = url
	}
	return urls, nil
}

func queue(ctx context.Context, client *sqs.Client, q topology.Queue, deadLetterURL string) (string, error) {
	attributes := map[string]string{
		"VisibilityTimeout":      seconds(q.Visibility),
		"MessageRetentionPeriod": seconds(q.Retention),
	}
	if q.DeadLetter != "" {
		arn, err := queueARN(ctx, client, deadLetterURL)
		if err != nil {
			return "", err
		}
		attributes["RedrivePolicy"] = document(map[string]any{"deadLetterTargetArn": arn, "maxReceiveCount": q.MaxReceives})
	}
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &q.Name, Attributes: attributes})
	if err == nil {
		return aws.ToString(out.QueueUrl), nil
	}
	var exists *types.QueueNameExists // with other attributes
	if !errors.As(err, &exists) {
		return "", err
	}
	found, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &q.Name})
	if err != nil {
		return "", err
	}
	_, err = client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: found.QueueUrl, Attributes: attributes})
	return aws.ToString(found.QueueUrl), err
}

func subscribe(ctx context.Context, c Clients, s topology.Subscription, topicARN string, queueURLs map[string]string) error {
	url, restURL := queueURLs[s.Queue], queueURLs[s.DeadLetter]
	endpoint, err := queueARN(ctx, c.SQS, url)
	if err != nil {
		return err
	}
	rest, err := queueARN(ctx, c.SQS, restURL)
	if err != nil {
		return err
	}
	for queue, arn := range map[string]string{url: endpoint, restURL: rest} {
		if _, err := c.SQS.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl: &queue, Attributes: map[string]string{"Policy": deliverPolicy(topicARN, arn)},
		}); err != nil {
			return err
		}
	}
	_, err = c.SNS.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: &topicARN, Protocol: aws.String("sqs"), Endpoint: &endpoint, ReturnSubscriptionArn: true,
		Attributes: map[string]string{
			"RawMessageDelivery": "true",
			"RedrivePolicy":      document(map[string]any{"deadLetterTargetArn": rest}),
		},
	})
	return err
}

// deliverPolicy lets the topic, and nobody else, send to the queue.
func deliverPolicy(topicARN, queueARN string) string {
	return document(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Effect":    "Allow",
			"Principal": map[string]any{"Service": "sns.amazonaws.com"},
			"Action":    "sqs:SendMessage",
			"Resource":  queueARN,
			"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": topicARN}},
		}},
	})
}

func queueARN(ctx context.Context, client *sqs.Client, url string) (string, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", err
	}
	return out.Attributes[string(types.QueueAttributeNameQueueArn)], nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// document is v as JSON; v is made of maps, slices, strings and numbers, which always marshal.
func document(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
