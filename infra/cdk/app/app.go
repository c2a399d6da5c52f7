// Package app is the whole system in the cloud: four stacks, in the order in which they need each other.
package app

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/data"
	"github.com/iops-dashboard/live/infra/cdk/experience"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/site"
	"github.com/iops-dashboard/live/infra/cdk/watch"
)

// Assets are what deployables are made of. Program returns the path of the zip that runs a command as a function, and
// Image the folder from which a container of it is made.
type Assets interface {
	Program(command string) string
	Image(command string) string
}

// New adds the stacks to an app. The site comes before the system, which lets in pages from its address only.
func New(a awscdk.App, s setting.Settings, assets Assets) error {
	system := s.Topology()
	if err := system.Validate(); err != nil {
		return err
	}
	props := func() awscdk.StackProps {
		return awscdk.StackProps{Tags: &map[string]*string{"system": jsii.String("iops-dashboard"), "stage": &s.Stage}}
	}
	tables := data.New(a, s.Named(setting.DataStack), system, props())
	page := site.New(a, s.Named(setting.SiteStack), site.Props{StackProps: props(), Settings: s})
	live := experience.New(a, s.Named(setting.ExperienceStack), system, experience.Props{
		StackProps: props(), Settings: s, Data: tables, SiteURL: page.URL(), Program: assets.Program, Image: assets.Image,
	})
	watch.New(a, s.Named(setting.WatchStack), system, watch.Props{
		StackProps: props(), Settings: s, SocketAPI: live.SocketAPI(), HTTPAPI: live.HTTPAPI(),
	})
	return nil
}
