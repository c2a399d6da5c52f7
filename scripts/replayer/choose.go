package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/filter"
)

// where says which dead letters are meant.
type where struct {
	Queue string `arg:"" help:"Where they rest: as fanout-0 or fanout-0-subscription, or the name or URL of the queue."`
	Stage string `default:"prod" help:"The stage, if the queue is named as fanout-0."`
}

// which chooses among them: all conditions must hold.
type which struct {
	JQ     string `name:"jq" placeholder:"PROGRAM" help:"Those for which this jq program yields anything but false and null. It gets {id, cause, body, attributes, system}."`
	Since  string `placeholder:"TIME" help:"Sent at or after this time, as 2026-01-31T12:00:00Z, or so long ago, as 90m or 2d."`
	Until  string `placeholder:"TIME" help:"Sent before this time."`
	Cause  string `placeholder:"TEXT" help:"Whose cause, as inspect says it, has this in it."`
	Entity string `placeholder:"TYPE/ID" help:"About this entity, as student/stu_4532."`
	Tenant string `help:"Of this tenant."`
}

func (c which) filter(now time.Time) (*filter.Filter, error) {
	o := filter.Options{JQ: c.JQ, Cause: c.Cause, Entity: c.Entity, Tenant: c.Tenant}
	var err error
	if o.Since, err = instant("--since", c.Since, now); err != nil {
		return nil, err
	}
	if o.Until, err = instant("--until", c.Until, now); err != nil {
		return nil, err
	}
	return filter.New(o)
}

// instant reads a time, or how long before now it was.
func instant(option, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n <= 100 {
			return now.Add(-time.Duration(n * float64(24*time.Hour))), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: want a time as 2026-01-31T12:00:00Z, or how long ago, as 90m or 2d", option, text)
}

// found is a place and its queues.
type found struct {
	deadletter.Place
	client      *sqs.Client
	url, target string // of the queues
}

// find asks SQS where the queues are, unless they are named by URL or by the variables of .local/env.
func (c where) find(ctx context.Context) (found, error) {
	p, err := deadletter.Find(c.Queue, c.Stage)
	if err != nil {
		return found{}, outcome{refused, err.Error()}
	}
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return found{}, err
	}
	if settings.Region == "" {
		return found{}, errors.New("no AWS Region: set AWS_REGION, or on one machine: set -a; . .local/env; set +a")
	}
	f := found{Place: p, client: sqs.NewFromConfig(settings)}
	if strings.Contains(c.Queue, "://") {
		f.url = c.Queue
		f.target = strings.TrimSuffix(c.Queue, p.Name) + p.Target // of the same account and Region, as SQS wants it
		return f, nil
	}
	if f.url, err = f.address(ctx, p.Name, p.Variable); err != nil {
		return f, err
	}
	f.target, err = f.address(ctx, p.Target, p.TargetVariable)
	return f, err
}

func (f found) address(ctx context.Context, name, variable string) (string, error) {
	if url := os.Getenv(variable); path.Base(url) == name {
		return url, nil
	}
	output, err := f.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return *output.QueueUrl, nil
}
