package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/statetable"
	"github.com/iops-dashboard/live/scripts/replayer/superseded"
)

// newer reports whether something newer than a message is known.
type newer func(context.Context, redrive.Message) (bool, error)

// newer asks the state table. The normalizer does so itself for records.
func (p place) newer() (newer, error) {
	if k := p.owner().Kind; k == deadletter.Quarantined || k == deadletter.GivenUp {
		return nil, outcome{refused, "--skip-superseded is for updates: the normalizer drops records that are superseded"}
	}
	table := superseded.New(dynamodb.NewFromConfig(p.config), statetable.Name(topology.New(topology.Options{Stage: p.Stage})))
	return func(ctx context.Context, m redrive.Message) (bool, error) {
		event, err := superseded.Read(m.Body)
		if err != nil {
			return false, nil // whoever opened it has said so
		}
		return table.Newer(ctx, event)
	}, nil
}
