package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/movetask"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// native has SQS move the whole queue, each message to where it came from.
func (c replay) native(w world) error {
	p, err := w.find(c.Queue, c.stage)
	if err != nil {
		return err
	}
	if p.Kind != deadletter.Unprocessed {
		return outcome{refused, fmt.Sprintf("SQS moves only what was dead-lettered by a queue of SQS, and %s is not that: replay without --native", p.Name)}
	}
	if !c.Confirm {
		return c.nativeDry(w, p)
	}
	source, err := p.arn(w, p.url)
	if err != nil {
		return err
	}
	line := &progress{out: w.errs, terminal: w.terminal}
	r, err := movetask.Run(w.ctx, p.queues, movetask.Task{Source: source, Rate: int(rateOr(c.Rate, 0))}, func(moved, total int) {
		line.say(redrive.Progress{Result: redrive.Result{Sent: moved, Deleted: moved, Matched: total}, Seen: moved, Total: total, ETA: -1})
	})
	line.end()
	if c.JSON {
		_ = json.NewEncoder(w.out).Encode(r)
	} else {
		fmt.Fprintf(w.out, "SQS moved about %d of %d from %s to %s\n", r.Moved, r.Total, p.Name, p.Target)
	}
	switch {
	case err != nil:
		return err
	case r.Cancelled:
		return outcome{left, "cancelled: what was moved stays moved"}
	case r.Moved < r.Total:
		return outcome{left, "some are left"}
	case r.Moved == 0:
		return outcome{nothing, "nothing rests there"}
	}
	return nil
}

func (c replay) nativeDry(w world, p place) error {
	visible, hidden, err := p.source().Depth(w.ctx)
	if err != nil {
		return err
	}
	n := visible + hidden
	if c.JSON {
		err = json.NewEncoder(w.out).Encode(map[string]any{"source": p.Name, "target": p.Target, "dry_run": true, "messages": n})
	} else {
		_, err = fmt.Fprintf(w.out, "about %d would be moved from %s to %s\nNothing was moved: --native --all --confirm does it.\n", n, p.Name, p.Target)
	}
	if err == nil && n == 0 {
		err = outcome{nothing, "nothing rests there"}
	}
	return err
}

func (p place) arn(w world, url string) (string, error) {
	output, err := p.queues.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", url[strings.LastIndexByte(url, '/')+1:], err)
	}
	return output.Attributes[string(types.QueueAttributeNameQueueArn)], nil
}
