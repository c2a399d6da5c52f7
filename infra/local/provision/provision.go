// Package provision creates the tables, topics, queues and subscriptions of a topology at any
// servers that speak AWS's protocols. It creates what is missing, changes what may be changed, and
// refuses with a clear error what does not fit; so it may run again and again. Of tables that are said to be
// there it changes nothing.
package provision

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/iops-dashboard/live/infra/topology"
)

// parallel bounds how many requests are under way at a time.
const parallel = 4

// Clients are the servers to provision.
type Clients struct {
	DynamoDB *dynamodb.Client
	SNS      *sns.Client
	SQS      *sqs.Client
}

// Resources says how to reach what was provisioned, by the names of the topology.
type Resources struct {
	Streams  map[string]string // table name to stream ARN, for tables with a stream
	Topics   map[string]string // topic name to ARN
	Queues   map[string]string // queue name to URL
	Callback string            // the WebSocket API's management endpoint, with its stage
	Socket   string            // where its clients connect, with its stage
	Origins  string            // of the pages that may connect, with commas between
	Issuer   string            // of tokens
	Audience string            // of tokens
}

// Resolve returns the value of an environment variable.
func (r Resources) Resolve(ref topology.Ref) string {
	switch ref.Kind {
	case topology.TopicARN:
		return r.Topics[ref.Name]
	case topology.QueueURL:
		return r.Queues[ref.Name]
	case topology.CallbackURL:
		return r.Callback
	case topology.SocketURL:
		return r.Socket
	case topology.PageOrigins:
		return r.Origins
	case topology.TokenIssuer:
		return r.Issuer
	case topology.TokenAudience:
		return r.Audience
	default: // a literal, or a table, whose name is the same everywhere
		return ref.Name
	}
}

// Apply makes the servers hold what system says. Errors name the resource.
func Apply(ctx context.Context, c Clients, system topology.Topology) (Resources, error) {
	r := Resources{Streams: map[string]string{}, Topics: map[string]string{}, Queues: map[string]string{}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		streams, err := tables(ctx, c.DynamoDB, system.Tables)
		r.Streams = streams
		return err
	})
	group.Go(func() error {
		var err error
		if r.Queues, err = queues(ctx, c.SQS, system.Queues); err != nil {
			return err
		}
		if r.Topics, err = topics(ctx, c.SNS, system.Topics); err != nil {
			return err
		}
		for _, s := range system.Subscriptions {
			if err := subscribe(ctx, c, s, r.Topics[s.Topic], r.Queues); err != nil {
				return fmt.Errorf("subscription of %s to %s: %w", s.Queue, s.Topic, err)
			}
		}
		return nil
	})
	err := group.Wait() // before r is read
	return r, err
}
