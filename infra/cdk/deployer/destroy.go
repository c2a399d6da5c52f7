package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

// resource is one of a deployed stack.
type resource struct {
	logical, physical string // names
	kind              string // as AWS::SQS::Queue
	kept              bool   // when the stack goes
}

// deployed is a stack with what becomes of its resources when it goes.
type deployed struct {
	name      string
	resources []resource
}

// destroy takes the system away, in the order against that in which it was made.
func (d *deployer) destroy(ctx context.Context) error {
	there, err := d.deployed(ctx)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		d.say("no stack of stage %s is deployed in %s", d.settings.Stage, d.place())
		return nil
	}
	d.explain(there)
	stage := d.settings.Stage
	if err := d.in.agree(ctx, fmt.Sprintf("What goes does not come back. Take stage %s away from %s?", stage, d.place()), stage); err != nil {
		return err
	}
	if err := d.synthesise(ctx, d.given); err != nil {
		return err
	}
	for _, stack := range there {
		fmt.Printf("\n== %s\n", stack.name)
		if err := d.empty(ctx, stack); err != nil {
			return fmt.Errorf("%w; start again to go on", err)
		}
		if err := d.cdk(ctx, stackLimit, "destroy", stack.name, "--exclusively", "--force", "--app", d.assembly()); err != nil {
			return fmt.Errorf("%w; start again to go on with what is left", err)
		}
		if left, err := d.cloud.stack(ctx, stack.name); err != nil {
			return err
		} else if left.status != "" {
			return fmt.Errorf("%s is still there (%s): the settings must be those that it was deployed with; else the events of the stack say why", stack.name, left.status)
		}
	}
	fmt.Println("\nWhat stays is yours, and costs what it did:")
	d.list(there, true)
	return nil
}

// deployed are the stacks that are there, the last first.
func (d *deployer) deployed(ctx context.Context) ([]deployed, error) {
	var all []deployed
	for _, stackName := range slices.Backward(setting.Stacks) {
		name := d.settings.Named(stackName)
		stack, err := d.cloud.stack(ctx, name)
		if err != nil {
			return nil, err
		}
		if stack.status == "" {
			continue
		}
		x := deployed{name: name}
		if x.resources, err = d.cloud.resources(ctx, name); err != nil {
			return nil, err
		}
		template, err := d.cloud.template(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := mark(x.resources, template); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, x)
	}
	return all, nil
}

// mark finds out which resources are kept: the deployed template says it.
func mark(resources []resource, template []byte) error {
	var read struct {
		Resources map[string]struct {
			Type           string
			DeletionPolicy string
		}
	}
	if err := json.Unmarshal(template, &read); err != nil {
		return fmt.Errorf("its template cannot be read: %w", err)
	}
	for i, r := range resources {
		// RetainExceptOnCreate keeps, too, what a stack has once made. Snapshot keeps no more than a copy.
		resources[i].kept = strings.HasPrefix(read.Resources[r.logical].DeletionPolicy, "Retain")
	}
	return nil
}

// explain says what goes and what stays.
func (d *deployer) explain(there []deployed) {
	fmt.Println("\nThis goes, with all that is in it:")
	d.list(there, false)
	fmt.Println("\nThis stays, and costs what it does:")
	d.list(there, true)
}

// telling are the kinds that hold something, or that people know by name. Of the others it is enough to know how many.
var telling = map[string]string{
	"AWS::DynamoDB::Table": "table", "AWS::S3::Bucket": "bucket", "AWS::SQS::Queue": "queue", "AWS::SNS::Topic": "topic",
	"AWS::Cognito::UserPool": "user pool", "AWS::CloudFront::Distribution": "distribution", "AWS::ApiGatewayV2::Api": "API",
	"AWS::Logs::LogGroup": "log", "AWS::Lambda::Function": "function",
}

func (d *deployer) list(there []deployed, kept bool) {
	none := true
	for _, stack := range there {
		others := 0
		for _, r := range stack.resources {
			switch word, known := telling[r.kind]; {
			case r.kept != kept:
			case known || kept:
				if !known {
					word = r.kind
				}
				d.say("%-13s %s", word, r.physical)
				none = false
			default:
				others++
			}
		}
		if others > 0 {
			d.say("%-13s and %d more of its parts", stack.name, others)
			none = false
		}
	}
	if none {
		d.say("nothing")
	}
}

// empty removes what is in the buckets of a stack that go with it: CloudFormation deletes no others.
func (d *deployer) empty(ctx context.Context, stack deployed) error {
	for _, r := range stack.resources {
		if r.kind != "AWS::S3::Bucket" || r.kept {
			continue
		}
		d.say("emptying %s …", r.physical)
		for {
			page, err := d.cloud.versions(ctx, r.physical)
			if err != nil {
				return fmt.Errorf("%s was not emptied: %w", r.physical, err)
			}
			if len(page) == 0 {
				break
			}
			if err := d.cloud.remove(ctx, r.physical, page); err != nil {
				return fmt.Errorf("%s was not emptied: %w", r.physical, err)
			}
		}
	}
	return nil
}
