// Command replayer looks at dead letters, and brings them back where they belong. scripts/replay builds and starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	failed  = 1
	left    = 2 // some messages that were to be replayed still rest
	nothing = 3 // matched
	refused = 4 // to begin
)

const about = `Looks at dead letters, and brings them back where they belong.

    fanout-0               updates that the fanout of shard 0 received in vain, or cannot read; they go to its queue
    fanout-0-subscription  updates that SNS could not deliver to that queue; they go there
    quarantine             records that break their schema; they go to the normalizer. And with --from fanout-0, what a replay put there
    failures               records that the normalizer failed at until Lambda gave them up; they go to the normalizer

The full name of such a queue will do, too, or the URL of a fanout's. Nothing goes to the topic: every other subscriber would get it once more. Each
message is deleted only when it is confirmed where it went. Old updates are harmless: whoever has a newer version drops them.

At night, in this order:

    scripts/replay inspect fanout-0                                        what rests, and why
    scripts/replay replay fanout-0 --cause 'gave up'                       how many would be sent: nothing is yet
    scripts/replay replay fanout-0 --cause 'gave up' --limit 1 --confirm    try one, when the cause is mended
    scripts/replay replay fanout-0 --all --confirm                         all of them

The account and Region are those that the AWS SDK finds, as for the AWS CLI; on one machine:

    set -a; . .local/env; set +a

Exit codes: 0 all was done, 1 an error, 2 some are left, 3 nothing matched, 4 refused. infra/RUNBOOK.md says what each alarm means.`

// grammar is what may be asked.
type grammar struct {
	Root string `hidden:"" default:"." help:"The folder of the repository."`

	Inspect inspect   `cmd:"" help:"Say what rests, and why. Nothing moves."`
	Replay  replay    `cmd:"" help:"Send dead letters where they belong. Without --confirm: say how many."`
	Edit    edit      `cmd:"" help:"Change dead letters, and send them where they belong."`
	Export  export    `cmd:"" help:"Write dead letters into a folder."`
	Import  importing `cmd:"" help:"Send what is in a folder where it belongs."`
	Resync  resyncing `cmd:"" help:"Bring the rows of a table that dashboards do not show as they are."`
	History history   `cmd:"" help:"List the runs of this checkout, or what one did."`
}

// world is what commands have to do with besides queues.
type world struct {
	ctx       context.Context
	out, errs io.Writer
	terminal  bool         // errs is one
	deaf      *atomic.Bool // while ctrl-C is somebody else's
	runs      string       // the folder of the run files
}

// outcome is an error with an exit code. It may have no words, if all was said.
type outcome struct {
	code int
	says string
}

func (o outcome) Error() string { return o.says }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var deaf atomic.Bool
	ctx, stop := heard(&deaf)
	defer stop()
	var g grammar
	parser := kong.Must(&g, kong.Name("scripts/replay"), kong.Description(about),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 140}))
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "replay: %v; --help says what there is\n", err)
		return failed
	}
	w := world{ctx: ctx, out: os.Stdout, errs: os.Stderr, deaf: &deaf, runs: filepath.Join(g.Root, ".local", "replay")}
	if info, err := os.Stderr.Stat(); err == nil {
		w.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	err = parsed.Run(w)
	if err == nil {
		return 0
	}
	code := failed
	if o, ok := errors.AsType[outcome](err); ok {
		code = o.code
	}
	if says := err.Error(); says != "" {
		fmt.Fprintln(os.Stderr, "replay:", says)
	}
	return code
}

// heard returns a context that ends with the first ctrl-C that is not somebody else's; the second ends the program at once.
func heard(deaf *atomic.Bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for {
			select {
			case s := <-signals:
				if s == os.Interrupt && deaf.Load() {
					continue
				}
				signal.Stop(signals)
				cancel()
			case <-ctx.Done():
				signal.Stop(signals)
				return
			}
		}
	}()
	return ctx, cancel
}
