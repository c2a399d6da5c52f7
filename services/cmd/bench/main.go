// Command bench sends one workload of scripts/bench in one way and measures itself. It reads a
// bench.Workload as JSON on stdin and writes a bench.Result on stdout; it stops when stdin ends, so it
// does not outlive who started it. Credentials, region and AWS_CA_BUNDLE come from the environment.
//
// The variants and what they do are in [variants].
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/iops-dashboard/live/services/bench"
)

// variants make each way to send. A new way is one more line here and one more file.
var variants = map[string]func(context.Context, bench.Workload) (bench.Variant, error){
	"plain": newPlain,
	"sdk":   newSDK,
	"wire":  newWire,
	"ours":  newOurs,
	"floor": newFloor,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := send(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench sender:", err)
		os.Exit(1)
	}
}

func send(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var w bench.Workload
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	build := variants[w.Variant]
	if build == nil {
		return fmt.Errorf("no variant is called %q; there are %v", w.Variant, slices.Sorted(maps.Keys(variants)))
	}
	v, err := build(ctx, w)
	if err != nil {
		return err
	}
	result, err := bench.Measure(ctx, v, w)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}
