// Command replayer looks at dead letters, and brings them back to the queue that they missed. scripts/replay builds and
// starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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

const about = `Looks at dead letters, and brings them back to the queue that they missed.

Dead letters of a fanout queue, or of its subscription, go to that queue, never to the topic: every other subscriber would get them
once more. Each is deleted only when its queue has confirmed it. Old updates are harmless: whoever has a newer version drops them.

At night, in this order:

    scripts/replay inspect fanout-0                                        what rests, and why
    scripts/replay replay fanout-0 --cause 'gave up'                       how many would be sent: nothing is yet
    scripts/replay replay fanout-0 --cause 'gave up' --limit 1 --confirm    try one, when the cause is mended
    scripts/replay replay fanout-0 --all --confirm                         all of them

fanout-0 is the dead-letter queue of shard 0's queue, and fanout-0-subscription that of what SNS could not deliver to it. The full name
or the URL of such a queue will do, too. The account and Region are those that the AWS SDK finds, as for the AWS CLI; on one machine:

    set -a; . .local/env; set +a

Exit codes: 0 all was done, 1 an error, 2 some are left, 3 nothing matched, 4 refused.

Not there yet: quarantine, the records that the normalizer gave up, editing, export and import, and moving a whole queue by SQS itself.
infra/RUNBOOK.md tells what to do by hand.`

// grammar is what may be asked.
type grammar struct {
	Root string `hidden:"" default:"." help:"The folder of the repository."`

	Inspect inspect `cmd:"" help:"Say what rests, and why. Nothing moves."`
	Replay  replay  `cmd:"" help:"Send dead letters to the queue that they missed. Without --confirm: say how many."`
	History history `cmd:"" help:"List the runs of this checkout, the latest first."`
}

// world is what commands have to do with besides queues.
type world struct {
	ctx       context.Context
	out, errs io.Writer
	terminal  bool   // errs is one
	runs      string // the folder of the run files
}

// outcome is an error with an exit code. It may have no words, if all was said.
type outcome struct {
	code int
	says string
}

func (o outcome) Error() string { return o.says }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second ctrl-C ends it at once
	var g grammar
	parser := kong.Must(&g, kong.Name("scripts/replay"), kong.Description(about), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 140}))
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "replay: %v; --help says what there is\n", err)
		return failed
	}
	w := world{ctx: ctx, out: os.Stdout, errs: os.Stderr, runs: filepath.Join(g.Root, ".local", "replay")}
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
