package pump

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/iops-dashboard/live/infra/local/account"
)

// firstRun is how soon after its begin a schedule invokes its function for the first time: when all else has started, and
// not a whole period later, so that one sees soon whether it works.
const firstRun = time.Second

// Schedule is a rule that invokes a function in a rhythm.
type Schedule struct {
	Function string // the rule has its name
	Every    time.Duration
	Region   string
}

// Scheduler invokes the function of a Schedule, as a rule of EventBridge does, except that it waits for the answer. One
// invocation is under way at a time, and for one period at most. What fails is logged and not repeated: the next one comes
// with the rhythm.
//
// Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
type Scheduler struct {
	schedule Schedule
	invoker  Invoker
	log      *slog.Logger
}

// NewScheduler returns a Scheduler that Run starts.
func NewScheduler(s Schedule, invoker Invoker, log *slog.Logger) *Scheduler {
	return &Scheduler{schedule: s, invoker: invoker, log: log.With("schedule", s.Function)}
}

// Run invokes the function until ctx ends. No invocation of its is waited for after that.
func (s *Scheduler) Run(ctx context.Context) {
	if !wait(ctx, firstRun) {
		return
	}
	tick := time.NewTicker(s.schedule.Every)
	defer tick.Stop()
	for {
		s.invoke(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Scheduler) invoke(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.schedule.Every)
	defer cancel()
	response, err := s.invoker.Invoke(ctx, s.schedule.Function, s.event())
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // it stops
	case err != nil:
		s.log.WarnContext(ctx, "scheduled function was not invoked", "err", err)
	case response.FunctionError != "":
		s.log.WarnContext(ctx, "scheduled function failed", "request_id", response.RequestID, "function_error", response.FunctionError)
	}
}

type scheduledEvent struct {
	Version    string   `json:"version"`
	ID         string   `json:"id"`
	DetailType string   `json:"detail-type"`
	Source     string   `json:"source"`
	Account    string   `json:"account"`
	Time       string   `json:"time"`
	Region     string   `json:"region"`
	Resources  []string `json:"resources"`
	Detail     struct{} `json:"detail"`
}

// event is that of EventBridge.
func (s *Scheduler) event() []byte {
	event, err := marshal(scheduledEvent{
		Version: "0", ID: newUUID(), DetailType: "Scheduled Event", Source: "aws.events", Account: account.ID,
		Time: time.Now().UTC().Format(time.RFC3339), Region: s.schedule.Region,
		Resources: []string{"arn:aws:events:" + s.schedule.Region + ":" + account.ID + ":rule/" + s.schedule.Function},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	return event
}
