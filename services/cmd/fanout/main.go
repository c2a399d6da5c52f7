// Command fanout brings updates to browsers. Its environment is config.Fanout. Where Lambda runs it, it is
// a function on a fanout queue; elsewhere it is a worker that receives by itself. SIGTERM stops the worker:
// it finishes or hands back what it has received, and exits with 0.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/iops-dashboard/live/services/fanout"
	"github.com/iops-dashboard/live/services/internal/config"
	"github.com/iops-dashboard/live/services/internal/run"
	"github.com/iops-dashboard/live/services/internal/telemetry"
)

func main() {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		run.Main("fanout", work)
		return
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", "fanout")
	recorder := telemetry.New("fanout")
	_, c, err := wire(context.Background(), log, recorder)
	f, fault := fanout.NewFunction(c)
	if err := cmp.Or(err, fault); err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	f.After = func() { _ = recorder.Flush(os.Stdout) }
	lambda.Start(f.Handle)
}

func work(ctx context.Context, log *slog.Logger) error {
	recorder := telemetry.New("fanout")
	settings, c, err := wire(ctx, log, recorder)
	if err != nil {
		return err
	}
	worker, err := fanout.NewWorker(c)
	if err != nil {
		return err
	}
	return run.Together(ctx, worker.Run, func(ctx context.Context) error {
		return recorder.Run(ctx, os.Stdout, settings.MetricsAddress)
	})
}

func wire(ctx context.Context, log *slog.Logger, recorder *telemetry.Recorder) (config.Fanout, fanout.Config, error) {
	settings, err := config.Read[config.Fanout]()
	if err != nil {
		return settings, fanout.Config{}, err
	}
	recorder.Under(string(settings.MetricsNamespace))
	c, err := connect(ctx, settings)
	c.Log, c.Meter = log, telemetry.NewFanout(recorder)
	return settings, c, err
}
