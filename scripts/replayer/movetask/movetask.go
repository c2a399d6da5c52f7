// Package movetask has SQS itself move all messages of a dead-letter queue, by its message move tasks:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
//
// SQS moves whole queues only, without conditions, marks or a log, and only from a queue that is the dead-letter queue of
// another queue of SQS: not what SNS could not deliver. The messages get new ids and times, and their receives are
// counted anew. A task runs in SQS for up to 36 hours, whether or not this program does.
package movetask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const (
	// MaxRate is the highest fixed rate of a task, in messages a second:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
	MaxRate = 500
	// DefaultInterval is how often SQS is asked how far a task is.
	DefaultInterval = 5 * time.Second

	// callTimeout bounds a call, the SDK's retries included.
	callTimeout = 30 * time.Second
	// patience is how long SQS may fail to tell of a task before nobody waits for it any more.
	patience = 2 * time.Minute
	// listed are the most tasks of a queue that SQS tells of.
	listed = 10
)

// ErrUnsupported marks a task that SQS does not take: what it would move has to be moved message by message.
var ErrUnsupported = errors.New("SQS does not move these messages itself")

// Task is what is to be moved.
type Task struct {
	Source      string        // ARN of the dead-letter queue
	Destination string        // ARN; empty: each message goes back to the queue that it came from
	Rate        int           // messages a second, up to [MaxRate]; 0: SQS decides
	Interval    time.Duration // how often SQS is asked how far it is; 0 for [DefaultInterval]
}

// Result is what a task did. The counts are SQS's own, which are approximate.
type Result struct {
	Moved     int  `json:"moved"`
	Total     int  `json:"total"`     // what was to be moved; 0 if the task ended before SQS told
	Cancelled bool `json:"cancelled"` // because the context ended: what was moved stays moved
}

// Run starts a task, and waits until it ends. progress, unless nil, is called after each look at it; total is 0 until SQS
// has counted. When ctx ends, the task is cancelled, which is no error.
//
// An error is [ErrUnsupported], [redrive.ErrDenied], or another. It says so if the task goes on without anybody who
// looks, and how to cancel it. The result holds with an error, too. Failing looks are tried again for two minutes.
func Run(ctx context.Context, client *sqs.Client, t Task, progress func(moved, total int)) (Result, error) {
	if err := t.check(); err != nil {
		return Result{}, err
	}
	r := &run{Task: t, client: client, progress: progress}
	if err := r.start(ctx); err != nil {
		return Result{}, err
	}
	return r.wait(ctx)
}

func (t *Task) check() error {
	switch {
	case !queueARN(t.Source):
		return fmt.Errorf("source: %q is not the ARN of a queue", t.Source)
	case t.Destination != "" && !queueARN(t.Destination):
		return fmt.Errorf("destination: %q is not the ARN of a queue", t.Destination)
	case t.Rate < 0 || t.Rate > MaxRate:
		return fmt.Errorf("a rate is 1 to %d messages a second, or 0 if SQS decides", MaxRate)
	case t.Interval < 0:
		return errors.New("the interval is not negative")
	}
	t.Interval = cmp.Or(t.Interval, DefaultInterval)
	return nil
}

func queueARN(text string) bool {
	parts := strings.Split(text, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "sqs" && !slices.Contains(parts[3:], "")
}

// run is a task that is under way.
type run struct {
	Task
	client   *sqs.Client
	progress func(moved, total int)
	before   int64 // when the latest task of the queue began before this one
	handle   string
	result   Result
}

// start starts the task. It is not interrupted: a task whose handle is lost on the way would go on.
func (r *run) start(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tasks, err := r.list(ctx)
	if err != nil {
		return refusal("list the tasks of the queue", err)
	}
	for _, task := range tasks {
		if active(task) {
			return running(task)
		}
		r.before = max(r.before, task.StartedTimestamp)
	}
	input := &sqs.StartMessageMoveTaskInput{SourceArn: &r.Source}
	if r.Destination != "" {
		input.DestinationArn = &r.Destination
	}
	if r.Rate > 0 {
		input.MaxNumberOfMessagesPerSecond = aws.Int32(int32(r.Rate))
	}
	call, cancel := finishing(ctx)
	defer cancel()
	output, err := r.client.StartMessageMoveTask(call, input)
	if err != nil {
		if strings.Contains(err.Error(), "already a task running") { // since we looked; or the answer to our first try was lost
			if tasks, again := r.list(ctx); again == nil {
				for _, task := range tasks {
					if active(task) {
						return running(task)
					}
				}
			}
		}
		return refusal("start the task", err)
	}
	r.handle = aws.ToString(output.TaskHandle)
	return nil
}

// wait looks at the task until it ends.
func (r *run) wait(ctx context.Context) (Result, error) {
	heard := time.Now()
	for {
		task, err := r.look(ctx)
		switch {
		case err == nil:
			heard = time.Now()
			if over, err := r.over(task); over {
				return r.result, err
			}
		case errors.Is(err, redrive.ErrDenied), time.Since(heard) >= patience:
			return r.result, r.goesOn(fmt.Errorf("it cannot be seen how far the task is: %w", err))
		}
		timer := time.NewTimer(r.Interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return r.cancel(ctx)
		}
	}
}

// look returns the task as SQS tells of it, and says how far it is.
func (r *run) look(ctx context.Context) (types.ListMessageMoveTasksResultEntry, error) {
	tasks, err := r.list(ctx)
	if err != nil {
		return types.ListMessageMoveTasksResultEntry{}, awsfault.SQS.Classify("list", err)
	}
	// The newest come first, and without their handles once they ended. Ours is the first that began after the last
	// before it.
	for _, task := range slices.Backward(tasks) {
		if task.StartedTimestamp > r.before {
			r.result.Moved = int(task.ApproximateNumberOfMessagesMoved)
			r.result.Total = int(aws.ToInt64(task.ApproximateNumberOfMessagesToMove))
			if r.progress != nil {
				r.progress(r.result.Moved, r.result.Total)
			}
			return task, nil
		}
	}
	return types.ListMessageMoveTasksResultEntry{}, errors.New("SQS does not list it")
}

// over reports whether a task has ended, and how, if not well.
func (r *run) over(task types.ListMessageMoveTasksResultEntry) (bool, error) {
	switch status := aws.ToString(task.Status); status {
	case "COMPLETED":
		return true, nil
	case "FAILED":
		return true, fmt.Errorf("the task failed after about %d messages: %s", r.result.Moved,
			cmp.Or(aws.ToString(task.FailureReason), "SQS gives no reason"))
	case "CANCELLED":
		return true, fmt.Errorf("somebody else cancelled the task after about %d messages, which stay moved", r.result.Moved)
	}
	return false, nil
}

// cancel ends the task since ctx has ended.
func (r *run) cancel(ctx context.Context) (Result, error) {
	call, stop := finishing(ctx)
	defer stop()
	output, err := r.client.CancelMessageMoveTask(call, &sqs.CancelMessageMoveTaskInput{TaskHandle: &r.handle})
	if err == nil {
		r.result.Moved, r.result.Cancelled = int(output.ApproximateNumberOfMessagesMoved), true
		return r.result, nil
	}
	// Only what runs can be cancelled: it may have ended meanwhile.
	if task, looked := r.look(call); looked == nil {
		if over, ended := r.over(task); over {
			return r.result, ended
		}
	}
	return r.result, r.goesOn(awsfault.SQS.Classify("cancel", err))
}

func (r *run) list(ctx context.Context) ([]types.ListMessageMoveTasksResultEntry, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	output, err := r.client.ListMessageMoveTasks(call, &sqs.ListMessageMoveTasksInput{SourceArn: &r.Source, MaxResults: aws.Int32(listed)})
	if err != nil {
		return nil, err
	}
	return output.Results, nil
}

func (r *run) goesOn(err error) error {
	return fmt.Errorf("%w. The task may go on, for up to 36 hours; to end it: aws sqs cancel-message-move-task --task-handle %s", err, r.handle)
}

func active(task types.ListMessageMoveTasksResultEntry) bool {
	switch aws.ToString(task.Status) {
	case "COMPLETED", "FAILED", "CANCELLED":
		return false
	}
	return true
}

// running says which task is in the way.
func running(task types.ListMessageMoveTasksResultEntry) error {
	to := cmp.Or(aws.ToString(task.DestinationArn), "where its messages came from")
	err := fmt.Errorf("a task moves this queue already, to %s, since %s: about %d of %d messages are moved", to,
		time.UnixMilli(task.StartedTimestamp).UTC().Format(time.RFC3339), task.ApproximateNumberOfMessagesMoved, aws.ToInt64(task.ApproximateNumberOfMessagesToMove))
	if handle := aws.ToString(task.TaskHandle); handle != "" {
		err = fmt.Errorf("%w. To end it: aws sqs cancel-message-move-task --task-handle %s", err, handle)
	}
	return err
}

// refusal says why there is no task.
func refusal(op string, err error) error {
	err = awsfault.SQS.Classify(op, err)
	switch text := err.Error(); awsfault.Code(err) {
	case "InvalidParameterValue", "InvalidParameterValueException":
		if strings.Contains(text, "Dead Letter Queue") {
			return fmt.Errorf("%w: only from a queue that is the dead-letter queue of another queue: %w", ErrUnsupported, err)
		}
	case "ResourceNotFoundException":
		return fmt.Errorf("%w: the source or the destination is not there, or no queue of SQS has the source as its dead-letter queue: %w", ErrUnsupported, err)
	case "UnsupportedOperation":
		return fmt.Errorf("%w: not from this queue, or not to that: %w", ErrUnsupported, err)
	case "InvalidAction", "UnknownOperation", "UnknownOperationException":
		return fmt.Errorf("%w: this server has no move tasks: %w", ErrUnsupported, err)
	}
	if errors.Is(err, redrive.ErrDenied) {
		return fmt.Errorf("%w. It takes sqs:StartMessageMoveTask, sqs:ListMessageMoveTasks, sqs:CancelMessageMoveTask, sqs:ReceiveMessage, "+
			"sqs:DeleteMessage and sqs:GetQueueAttributes for the source, sqs:SendMessage for the destination, and the use of their KMS keys", err)
	}
	return err
}

// finishing returns a context for a call that is not interrupted by the end of the run's own.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}
