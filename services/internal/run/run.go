// Package run gives every main the same life: a context that ends on SIGTERM or SIGINT, a
// structured log on stdout, and an exit code.
package run

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// ErrStop is the cause of a context that ended because the process was asked to stop. Work
// that ends with it was interrupted, it did not fail.
var ErrStop = errors.New("service stopped")

// Main runs f until it returns and exits with 0, or with 1 when f fails for any reason but
// [ErrStop]. The context of f ends with cause ErrStop at the first SIGTERM or SIGINT; a second
// signal ends the process at once. The logger writes JSON lines to stdout.
func Main(service string, f func(ctx context.Context, log *slog.Logger) error) {
	log := logger(service)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			log.InfoContext(ctx, "stopping", "signal", s.String())
			cancel(ErrStop)
		case <-ctx.Done():
		}
	}()

	if err := f(ctx, log); err != nil && !errors.Is(err, ErrStop) {
		log.ErrorContext(ctx, "failed", "error", err.Error())
		os.Exit(1)
	}
}

// Wired returns what wire makes, which is what a Lambda function serves with, or exits with 1 and the reason in the
// log. The logger is that of [Main].
func Wired[T any](service string, wire func(ctx context.Context, log *slog.Logger) (T, error)) T {
	log := logger(service)
	made, err := wire(context.Background(), log)
	if err != nil {
		log.Error("not started", "error", err.Error())
		os.Exit(1)
	}
	return made
}

func logger(service string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", service)
}

// Together runs all of fs until they have returned. When the first returns the context of the others ends.
// Its error is the first that is not nil.
func Together(ctx context.Context, fs ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range fs {
		group.Go(func() error {
			if err := f(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
			return ErrStop // nothing is left to do for the others
		})
	}
	if err := group.Wait(); !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}
