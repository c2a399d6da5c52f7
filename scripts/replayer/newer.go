package main

import (
	"cmp"
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/superseded"
)

// newer reports whether something newer than a message is known.
type newer func(context.Context, redrive.Message) (bool, error)

// newer asks the state table. The normalizer does so itself for records.
func (p place) newer() (newer, error) {
	if k := p.owner().Kind; k == deadletter.Quarantined || k == deadletter.GivenUp {
		return nil, outcome{refused, "--skip-superseded is for updates: the normalizer drops records that are superseded"}
	}
	var name string
	for _, t := range topology.New(topology.Options{Stage: p.stage}).Tables {
		if t.Variable == "STATE_TABLE" {
			name = cmp.Or(os.Getenv(t.Variable), t.Name)
		}
	}
	table := superseded.New(dynamodb.NewFromConfig(p.config), name)
	return func(ctx context.Context, m redrive.Message) (bool, error) {
		event, err := superseded.Read(m.Body)
		if err != nil {
			return false, nil // whoever opened it has said so
		}
		known, err := table.Newer(ctx, []superseded.Event{event})
		if err != nil {
			return false, err
		}
		return known[0], nil
	}, nil
}
