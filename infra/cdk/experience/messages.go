package experience

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/topology"
)

func (s *Stack) addTopics() {
	for _, t := range s.system.Topics {
		s.topics[t.Name] = awssns.NewTopic(s, jsii.String("topic-"+t.Name), &awssns.TopicProps{TopicName: &t.Name, EnforceSSL: jsii.Bool(true)})
	}
}

func (s *Stack) addQueues() {
	for _, q := range s.system.Queues {
		s.queue(q)
	}
}

// queue makes a queue, its dead-letter queue first. SNS and S3 can deliver to it, since its keys are those of SQS: under
// the key that AWS manages for an account they cannot, and messages vanish.
func (s *Stack) queue(q topology.Queue) awssqs.Queue {
	if made := s.queues[q.Name]; made != nil {
		return made
	}
	props := awssqs.QueueProps{
		QueueName: &q.Name, VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(q.Visibility.Seconds())),
		RetentionPeriod: awscdk.Duration_Seconds(jsii.Number(q.Retention.Seconds())),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED, EnforceSSL: jsii.Bool(true),
	}
	if q.DeadLetter != "" {
		d, _ := s.system.Queue(q.DeadLetter)
		props.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: s.queue(d), MaxReceiveCount: jsii.Number(q.MaxReceives)}
	}
	s.queues[q.Name] = awssqs.NewQueue(s, jsii.String("queue-"+q.Name), &props)
	return s.queues[q.Name]
}

// deliver lets one resource of this account, through its service, send to a queue.
func (s *Stack) deliver(to awssqs.Queue, service string, from *string) {
	to.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(&service, nil)},
		Actions:    jsii.Strings("sqs:SendMessage"),
		Resources:  &[]*string{to.QueueArn()},
		Conditions: &map[string]any{
			"ArnEquals":    map[string]any{"aws:SourceArn": from},
			"StringEquals": map[string]any{"aws:SourceAccount": s.Account()},
		},
	}))
}

func (s *Stack) addSubscriptions() {
	for _, x := range s.system.Subscriptions {
		topic, queue, rest := s.topics[x.Topic], s.queues[x.Queue], s.queues[x.DeadLetter]
		s.deliver(queue, "sns.amazonaws.com", topic.TopicArn())
		s.deliver(rest, "sns.amazonaws.com", topic.TopicArn())
		awssns.NewCfnSubscription(s, jsii.String("subscription-"+x.Queue), &awssns.CfnSubscriptionProps{
			TopicArn: topic.TopicArn(), Protocol: jsii.String("sqs"), Endpoint: queue.QueueArn(),
			RawMessageDelivery: true, RedrivePolicy: map[string]any{"deadLetterTargetArn": rest.QueueArn()},
		}).Node().AddDependency(queue, rest) // their policies, too
	}
}

// addStores makes the buckets for what streams give up, and the queues that are told. Their policy is written without the
// bucket, whose ARN follows from its name, because S3 tries the queue before it accepts that it should tell it.
func (s *Stack) addStores() {
	for _, x := range s.system.Stores {
		name := x.Name + "-" + *s.Account() + "-" + *s.Region() // as no other bucket of anybody's
		queue := s.queues[x.Queue]
		s.deliver(queue, "s3.amazonaws.com", jsii.String("arn:"+*s.Partition()+":s3:::"+name))
		bucket := awss3.NewBucket(s, jsii.String("store-"+x.Name), &awss3.BucketProps{
			BucketName: &name, EnforceSSL: jsii.Bool(true), MinimumTLSVersion: jsii.Number(1.2),
			Encryption: awss3.BucketEncryption_S3_MANAGED, BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
			ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED, Versioned: jsii.Bool(true),
			RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		})
		bucket.Node().DefaultChild().(awss3.CfnBucket).SetNotificationConfiguration(&awss3.CfnBucket_NotificationConfigurationProperty{
			QueueConfigurations: []any{&awss3.CfnBucket_QueueConfigurationProperty{
				Event: jsii.String("s3:ObjectCreated:*"), Queue: queue.QueueArn(),
			}},
		})
		bucket.Node().AddDependency(queue)
		s.stores[x.Name] = bucket
	}
}
