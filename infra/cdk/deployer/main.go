// Command deployer brings the whole system to AWS, and takes it away again. It is what scripts/deploy starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// What the program ends with, besides 0.
const (
	exitFailed      = 1
	exitMisused     = 2
	exitRefused     = 3
	exitInterrupted = 130
)

// errRefused: whoever was asked did not agree.
var errRefused = errors.New("not agreed: nothing was changed")

// misused is an error in the command line.
type misused struct{ error }

func misuse(format string, args ...any) error { return misused{fmt.Errorf(format, args...)} }

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // a second ctrl-C ends us at once, and the kernel ends what we started
	// A "| tee" takes the ctrl-C too and may go before us. Then writing fails, and we still clean up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	code, word := exitFailed, "deploy: "
	switch {
	case ctx.Err() != nil:
		code, word = exitInterrupted, "deploy: interrupted: "
	case errors.As(err, new(misused)):
		code = exitMisused
	case errors.Is(err, errRefused):
		code = exitRefused
	}
	fmt.Fprintln(os.Stderr, word+err.Error())
	os.Exit(code)
}

// options are the command line.
type options struct {
	steps        []string // in the order in which they are taken
	context      map[string]string
	yes, destroy bool
	token        string
	patience     time.Duration
}

func parse(args []string) (options, error) {
	o := options{context: map[string]string{}, token: os.Getenv("IOPS_TOKEN")}
	_ = os.Unsetenv("IOPS_TOKEN") // nobody whom we start needs it
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.yes, "yes", false, "")
	flags.BoolVar(&o.destroy, "destroy", false, "")
	flags.StringVar(&o.token, "token", o.token, "")
	flags.DurationVar(&o.patience, "patience", firstLimit, "")
	setting := func(pair string) error {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return errors.New("want name=value")
		}
		o.context[name] = value
		return nil
	}
	flags.Func("c", "", setting)
	flags.Func("context", "", setting)

	var named []string
	for rest := args; len(rest) > 0; { // options may stand behind steps, too
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return o, err
		} else if err != nil {
			return o, misuse("%w; scripts/deploy --help lists the options", err)
		}
		if rest = flags.Args(); len(rest) > 0 {
			named = append(named, rest[0])
			rest = rest[1:]
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.name == name }) {
			return o, misuse("no step is called %q; scripts/deploy --help lists them", name)
		}
	}
	if o.destroy && len(named) > 0 {
		return o, misuse("--destroy goes with no step")
	}
	for _, s := range steps {
		if len(named) == 0 || slices.Contains(named, s.name) {
			o.steps = append(o.steps, s.name)
		}
	}
	return o, nil
}

const usage = `Usage: scripts/deploy [step ...] [options]

Brings the whole system to AWS, into the account and Region that your AWS settings name, as the
AWS CLI takes them: AWS_PROFILE or AWS_ACCESS_KEY_ID, and AWS_REGION. infra/DEPLOY.md tells more.

Steps, of which each works alone; all of them in this order if none is named:
%s
Options:
  -c NAME=VALUE   a setting of the deployment; may be given again
  --yes           deploy without asking
  --token TOKEN   for smoke: of somebody who may connect; IOPS_TOKEN does it, too, and is seen by
                  nobody. Without one the canary has to see what it writes
  --patience D    for smoke: how long the first frame may take (default 3m)
  --destroy       take the system away: says what goes and what stays, and asks
  --help          print this

Settings, with what they are if not given:
%s
They belong to the deployment: give the same ones each time and to each step, or write them into
infra/cdk/cdk.context.json, as {"stage": "dev", "shards": "8"}.

It ends with 0 if all is done, 1 if a step failed, 2 if it was called wrongly, 3 if you did not
agree, and 130 if it was interrupted.
`

func help() string {
	var stepLines, settingLines strings.Builder
	for _, s := range steps {
		stepLines.WriteString(entry(s.name, 8, s.text))
	}
	for _, s := range setting.All {
		settingLines.WriteString(entry(s.Name+"="+s.Default, 19, s.Text))
	}
	return fmt.Sprintf(usage, stepLines.String(), settingLines.String())
}

// entry is a line of a list, or more lines where the text is longer than a terminal is wide.
func entry(name string, width int, text string) string {
	const most = 100
	line := fmt.Sprintf("  %-*s", width, name)
	var all strings.Builder
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > most {
			all.WriteString(line + "\n")
			line = strings.Repeat(" ", width+2)
		}
		line += " " + word
	}
	return all.String() + line + "\n"
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(help())
		return nil
	} else if err != nil {
		return err
	}
	root := os.Getenv("IOPS_ROOT") // set by scripts/deploy, which may be called from anywhere
	if root == "" {
		return errors.New("start me by scripts/deploy")
	}
	given, err := readValues(o.context, contextFiles(root)...)
	if err != nil {
		return err
	}
	settings, err := given.settings()
	if err != nil {
		return err
	}
	if settings.Auth == topology.AuthOpen {
		o.token = "" // nobody wants one
	}
	d := &deployer{
		root: root, given: given, settings: settings, system: settings.Topology(), yes: o.yes, token: o.token, patience: o.patience, in: questions{in: os.Stdin},
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	if o.destroy {
		return d.destroy(ctx)
	}
	return d.take(ctx, o.steps)
}
