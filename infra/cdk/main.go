// Command cdk is the app of `cdk synth` and `cdk deploy`: it builds what the functions run, and writes the templates of
// the stacks. What it is asked to be is said by the context: see package setting.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/app"
	"github.com/iops-dashboard/live/infra/cdk/asset"
	"github.com/iops-dashboard/live/infra/cdk/setting"
)

func main() {
	err := synth()
	jsii.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cdk:", err)
		os.Exit(1)
	}
}

func synth() error {
	a := awscdk.NewApp(nil)
	settings, err := setting.Read(func(name string) string {
		if v := a.Node().TryGetContext(&name); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	})
	if err != nil {
		return errors.Join(errors.New("the context is not right; scripts/deploy --help lists all settings"), err)
	}
	for _, w := range settings.Warnings() {
		fmt.Fprintln(os.Stderr, "cdk: warning:", w)
	}
	assets, err := asset.Build("../..", settings)
	if err != nil {
		return err
	}
	if err := app.New(a, settings, assets); err != nil {
		return err
	}
	a.Synth(nil)
	return nil
}
