package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/iops-dashboard/live/infra/local/process"
)

const (
	// synthLimit leaves time for the first build of the CDK's packages, which takes minutes.
	synthLimit = 30 * time.Minute
	// stackLimit is how long CloudFormation may take. A distribution alone takes up to half an hour.
	stackLimit = 2 * time.Hour
	// goodbye is how long the CDK may take to end when it is interrupted.
	goodbye = 5 * time.Second
)

// cdk runs the CDK's command line, which shows what it does.
func (d *deployer) cdk(ctx context.Context, limit time.Duration, args ...string) error {
	node, err := d.tree().Node(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npx", append([]string{"--no-install", "cdk"}, args...)...)
	cmd.Dir = filepath.Join(d.root, "infra", "cdk")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(node)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"AWS_REGION="+d.cloud.region, "CDK_DISABLE_CLI_TELEMETRY=1") // ours: without one, it would take us-east-1
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	process.Isolate(cmd)
	group := func(s syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, s) }
	cmd.Cancel = func() error { return group(syscall.SIGINT) }
	cmd.WaitDelay = goodbye
	err = cmd.Run()
	if cmd.Process != nil {
		_ = group(syscall.SIGKILL) // most often there is nobody left
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Errorf("cdk %s took more than %s, and was stopped; what CloudFormation has begun goes on without it", args[0], limit)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("npx is not on PATH: install Node.js, which brings it, and start again")
	case ctx.Err() != nil:
		return fmt.Errorf("cdk %s was stopped; what CloudFormation has begun goes on without it", args[0])
	}
	return fmt.Errorf("cdk %s failed (%w): above it says why", args[0], err)
}

// synthesise writes the templates, and what they need, for these settings.
func (d *deployer) synthesise(ctx context.Context, v values) error {
	tree := d.tree()
	for _, prepare := range []func(context.Context) error{tree.Servers, tree.Cloud} {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.folder(), 0o755); err != nil {
		return err
	}
	d.say("building the functions and the templates …")
	return d.cdk(ctx, synthLimit, append([]string{"synth", "--quiet", "--output", d.assembly()}, v.arguments()...)...)
}

// assembly is the folder of what was synthesised.
func (d *deployer) assembly() string { return filepath.Join(d.folder(), "cdk.out") }

// diff shows what would change.
func (d *deployer) diff(ctx context.Context) error {
	connecting, err := d.connecting(ctx)
	if err != nil {
		return err
	}
	if err := d.synthesise(ctx, connecting); err != nil {
		return err
	}
	if err := d.cdk(ctx, synthLimit, "diff", "--app", d.assembly()); err != nil {
		return err
	}
	d.shown = true
	return nil
}

// deploy deploys what was shown.
func (d *deployer) deploy(ctx context.Context) error {
	if !d.shown {
		if err := d.diff(ctx); err != nil {
			return err
		}
	}
	for _, doubt := range d.doubts {
		d.say("note   %s", doubt)
	}
	if !d.yes {
		if err := d.in.agree(ctx, fmt.Sprintf("Deploy this as stage %s to %s?", d.settings.Stage, d.place()), "yes"); err != nil {
			return err
		}
	}
	err := d.cdk(ctx, stackLimit, "deploy", "--all", "--app", d.assembly(), "--require-approval", "never", "--progress", "events",
		"--outputs-file", filepath.Join(d.folder(), "outputs.json"))
	if err != nil {
		return fmt.Errorf("%w; stacks that were done stay as they are, and CloudFormation takes back what it began of the one that failed", err)
	}
	return nil
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
