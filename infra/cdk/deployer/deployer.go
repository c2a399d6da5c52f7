package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/topology"
)

// callLimit is how long one call of AWS may take, with what the SDK repeats.
const callLimit = 30 * time.Second

// deployer takes the steps. It is not safe for concurrent use.
type deployer struct {
	root     string
	given    values
	settings setting.Settings
	system   topology.Topology
	yes      bool
	token    string
	patience time.Duration // for the first frame
	in       questions

	cloud *cloud
	who   identity

	doubts []string // of the account, for whoever is asked
	shown  bool     // the differences
}

// step is a part of a deployment that works alone.
type step struct {
	name, text string
	run        func(*deployer, context.Context) error
}

var steps = []step{
	{"check", "credentials, Region, bootstrap and quotas: what is missing, what to raise, and how", (*deployer).check},
	{"diff", "build the functions, synthesise the templates, and show what would change", (*deployer).diff},
	{"deploy", "show that unless it was shown, ask, and deploy the stacks", (*deployer).deploy},
	{"site", "build and publish the dashboard, with its config.json, and let it connect to this system alone", (*deployer).site},
	{"smoke", "look at the page, write a row, see it arrive, and remove it", (*deployer).smoke},
	{"urls", "print where everything is", (*deployer).urls},
}

// take takes the steps that are named, and says how to go on from the one that fails.
func (d *deployer) take(ctx context.Context, names []string) error {
	for i, name := range names {
		s := steps[slices.IndexFunc(steps, func(s step) bool { return s.name == name })]
		fmt.Printf("\n== %s: %s\n", s.name, s.text)
		err := s.run(d, ctx)
		switch {
		case errors.Is(err, errRefused):
			return err
		case err != nil:
			return fmt.Errorf("%s: %w\n  once that is mended, go on with: %s", s.name, err, d.command(names[i:]...))
		}
	}
	return nil
}

// command is what somebody types to take steps of this deployment.
func (d *deployer) command(steps ...string) string {
	return strings.Join(slices.Concat([]string{"scripts/deploy"}, steps, d.given.arguments()), " ")
}

// enter finds out who we are, and where.
func (d *deployer) enter(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if d.cloud, err = newCloud(ctx); err != nil {
		return err
	}
	if d.who, err = d.cloud.identity(ctx); err != nil {
		return err
	}
	fmt.Printf("stage %s in %s, as %s\n", d.settings.Stage, d.place(), d.who.arn)
	return nil
}

func (d *deployer) place() string {
	return fmt.Sprintf("account %s, Region %s", d.who.account, d.cloud.region)
}

// tree is the checkout.
func (d *deployer) tree() install.Tree {
	return install.Tree{Root: d.root, Say: func(format string, args ...any) { d.say(format+" …", args...) }}
}

// folder is where what is synthesised goes, and what the stacks put out.
func (d *deployer) folder() string {
	return filepath.Join(d.root, ".local", "deploy", d.settings.Stage)
}

func (d *deployer) say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// outputs are what the deployed stacks put out, by name.
func (d *deployer) outputs(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for _, stackName := range setting.Stacks {
		stack, err := d.cloud.stack(ctx, d.settings.Named(stackName))
		if err != nil {
			return nil, err
		}
		for name, value := range stack.outputs {
			if !strings.HasPrefix(name, "ExportsOutput") { // what the CDK has one stack tell another
				all[name] = value
			}
		}
	}
	return all, nil
}

// need are the outputs of the stacks, of which these must be there.
func (d *deployer) need(ctx context.Context, names ...string) (map[string]string, error) {
	outputs, err := d.outputs(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if outputs[name] == "" {
			return nil, fmt.Errorf("no stack of stage %s puts out %s in %s: deploy it first, or name its settings and its Region", d.settings.Stage, name, d.place())
		}
	}
	return outputs, nil
}

func (d *deployer) urls(ctx context.Context) error {
	outputs, err := d.need(ctx, "WebSocketURL")
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(outputs) {
		d.say("%-21s %s", name, outputs[name])
	}
	return nil
}

// questions are answered on standard input, of which nothing is read before one is asked.
type questions struct {
	in    io.Reader
	lines chan string
}

// agree asks for a word, which must be typed as it is. Whoever types another, or nothing, does not agree.
func (q *questions) agree(ctx context.Context, question, word string) error {
	fmt.Printf("\n%s Type %s: ", question, word)
	if q.lines == nil {
		q.lines = make(chan string)
		go func() {
			defer close(q.lines)
			for scan := bufio.NewScanner(q.in); scan.Scan(); {
				q.lines <- strings.TrimSpace(scan.Text())
			}
		}()
	}
	select {
	case line, ok := <-q.lines:
		if !ok {
			fmt.Println("\n  nobody answers on standard input")
		}
		if line != word {
			return errRefused
		}
		return nil
	case <-ctx.Done():
		fmt.Println()
		return errRefused
	}
}
