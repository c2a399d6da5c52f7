package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/topology"
)

// leastBootstrap is the version of the bootstrap that the rule CheckBootstrapVersion of each template wants:
// https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
const leastBootstrap = 6

// Quotas, by their codes in Service Quotas.
const (
	apiThrottle       = "L-8A5B8E43" // of API Gateway: requests a second of an account and Region
	socketConnections = "L-9ED1E49A" // of API Gateway: new WebSocket connections a second of an account and Region
	concurrency       = "L-B99A9384" // of Lambda: environments of an account and Region
)

// findings are what a check came to.
type findings struct {
	d       *deployer
	missing int
}

func (f *findings) good(format string, args ...any) { f.d.say("ok     "+format, args...) }

// doubt is what does not hinder a deployment, and should be known.
func (f *findings) doubt(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.d.say("note   %s", text)
	f.d.doubts = append(f.d.doubts, text)
}

// miss is what hinders a deployment.
func (f *findings) miss(format string, args ...any) {
	f.missing++
	f.d.say("wrong  "+format, args...)
}

// check looks for all that would make a deployment fail, or the system slow. It changes nothing.
func (d *deployer) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	f := &findings{d: d}
	d.doubts = nil
	f.good("credentials: %s", d.who.arn)
	for _, look := range []func(context.Context, *findings) error{d.checkBootstrap, d.checkAPI, d.checkConnections, d.checkFunctions, d.checkDocker} {
		if err := look(ctx, f); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f.doubt("cannot tell: %v", err)
		}
	}
	for _, warning := range d.settings.Warnings() {
		f.doubt("%s", warning)
	}
	if f.missing > 0 {
		return fmt.Errorf("%d to mend before anything is deployed", f.missing)
	}
	return nil
}

func (d *deployer) checkBootstrap(ctx context.Context, f *findings) error {
	qualifier := d.given[bootstrapQualifier]
	if qualifier == "" {
		qualifier = "hnb659fds"
	}
	text, err := d.cloud.parameter(ctx, "/cdk-bootstrap/"+qualifier+"/version")
	// Not in infra/cdk, where the CDK would build and run the app first.
	how := fmt.Sprintf("npm ci --ignore-scripts --prefix infra/cdk && infra/cdk/node_modules/.bin/cdk bootstrap aws://%s/%s", d.who.account, d.cloud.region)
	if errors.Is(err, errAbsent) {
		f.miss("bootstrap: the CDK has no place for its files here. Once for an account and Region, somebody who may make roles runs: %s", how)
		return nil
	} else if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	version, err := strconv.Atoi(text)
	if err != nil || version < leastBootstrap {
		f.miss("bootstrap: it is of version %s, and %d is wanted. Somebody who may make roles runs: %s", text, leastBootstrap, how)
		return nil
	}
	f.good("bootstrap: version %d", version)
	return nil
}

// checkAPI looks at what all APIs of the account and Region share: their throttle, and the role by which they log.
func (d *deployer) checkAPI(ctx context.Context, f *findings) error {
	account, err := d.cloud.apiAccount(ctx)
	if err != nil {
		return fmt.Errorf("the throttle of API Gateway: %w", err)
	}
	if account.rate < topology.DefaultRate {
		f.doubt("API Gateway lets %.0f requests a second through, and the fan-out paces itself for %d: beyond, posts are refused and updates come later. %s",
			account.rate, topology.DefaultRate, raise("apigateway", apiThrottle, topology.DefaultRate))
	} else {
		f.good("API Gateway: %.0f requests a second", account.rate)
	}
	ours, err := d.ownsLogRole(ctx)
	if err != nil {
		return fmt.Errorf("the role by which API Gateway logs: %w", err)
	}
	switch keeps := d.settings.KeepsLogRole; {
	case keeps && account.logRole == "":
		f.miss("API Gateway has no role to write logs with, so apiLogRole=keep keeps nothing: leave that setting out")
	case !keeps && account.logRole != "" && !ours:
		f.doubt("API Gateway writes logs with a role that is there already, %s, and would use one of ours, for all APIs of the account and Region: -c apiLogRole=keep leaves it", account.logRole)
	}
	return nil
}

// ownsLogRole reports whether the role by which API Gateway logs was made by a deployment of this stage.
func (d *deployer) ownsLogRole(ctx context.Context) (bool, error) {
	resources, err := d.cloud.resources(ctx, d.settings.Named(setting.ExperienceStack))
	for _, r := range resources {
		if r.kind == "AWS::ApiGateway::Account" {
			return true, nil
		}
	}
	return false, err
}

func (d *deployer) checkConnections(ctx context.Context, f *findings) error {
	rate, err := d.cloud.quota(ctx, "apigateway", socketConnections)
	if err != nil {
		return fmt.Errorf("new WebSocket connections a second: %w", err)
	}
	if wanted := d.system.WebSocket.Throttle.Rate; int(rate) < wanted {
		f.doubt("API Gateway lets %.0f WebSocket connections a second begin, and %d should: when many come back at once it takes longer. %s",
			rate, wanted, raise("apigateway", socketConnections, wanted))
		return nil
	}
	f.good("WebSocket: %.0f new connections a second", rate)
	return nil
}

func (d *deployer) checkFunctions(ctx context.Context, f *findings) error {
	free, err := d.cloud.concurrency(ctx)
	if err != nil {
		return fmt.Errorf("the concurrency of Lambda: %w", err)
	}
	wanted := 0
	for _, function := range d.system.Functions {
		wanted += function.Concurrency
	}
	if free < wanted {
		f.doubt("Lambda runs %d environments at a time that nobody has reserved, and the functions are planned for %d: some would be refused. %s",
			free, wanted, raise("lambda", concurrency, max(wanted, 1000)))
		return nil
	}
	f.good("Lambda: %d environments at a time, of which the functions may want %d", free, wanted)
	return nil
}

func (d *deployer) checkDocker(_ context.Context, f *findings) error {
	if d.settings.Fanout != setting.Fargate {
		return nil
	}
	docker := os.Getenv("CDK_DOCKER")
	if docker == "" {
		docker = "docker"
	}
	if _, err := exec.LookPath(docker); err != nil {
		f.miss("fanout=fargate wants Docker to make an image, and %s is not on PATH: install it, name what does its work in CDK_DOCKER, or leave fanout=lambda", docker)
		return nil
	}
	f.good("Docker: %s", docker)
	return nil
}

// raise tells how to ask for a higher quota. AWS answers within minutes, or asks back.
func raise(service, code string, to int) string {
	return fmt.Sprintf("To raise it: aws service-quotas request-service-quota-increase --service-code %s --quota-code %s --desired-value %d", service, code, to)
}
