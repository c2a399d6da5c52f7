package main

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestDestroyNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run(t, "--destroy", "-c", "stage=dev").expect(t, 0, "no stack of stage dev is deployed in account "+account)
}

func TestNothingIsDestroyedWithoutTheNameOfTheStage(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{"yes": "yes\n", "another stage": "dev\n", "nobody": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.old = []string{"index.html1"}
			r.input = input
			r.run(t, "--destroy", "--yes").expect(t, exitRefused, "not agreed: nothing was changed")
			if calls := r.aws.commands(); len(calls) > 0 || len(r.aws.deleted) > 0 {
				t.Errorf("it did %v, and deleted %v", calls, r.aws.deleted)
			}
		})
	}
}

func TestDestroy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.deployAll("prod")
	r.aws.old = []string{"index.html1", "index.html2", "assets/a.js1"}
	r.input = "prod\n"
	o := r.run(t, "--destroy")
	o.expect(t, 0)
	goes, rest, _ := strings.Cut(o.out, "This stays")
	stays, rest, _ := strings.Cut(rest, "Type prod:")
	for _, name := range []string{"iops-dashboard-connections", bucket, "https://sqs/fanout-0", "E2EXAMPLE"} {
		if !strings.Contains(goes, name) || strings.Contains(stays, name) {
			t.Errorf("it does not say that %s goes\n%s", name, o)
		}
	}
	for _, name := range []string{"iops-dashboard-metrics", "iops-dashboard-state", "log-bucket", "us-east-1_pool"} {
		if strings.Contains(goes, name) || !strings.Contains(stays, name) || !strings.Contains(rest, name) {
			t.Errorf("it does not say that %s stays, before and after\n%s", name, o)
		}
	}
	wanted := []string{
		"synth", "destroy IOpsDashboard-WatchStack", "destroy IOpsDashboard-ExperienceStack", "destroy IOpsDashboard-SiteStack", "destroy IOpsDashboard-DataStack",
	}
	if calls := r.aws.commands(); !slices.Equal(calls, wanted) {
		t.Errorf("it did %v, want %v", calls, wanted)
	}
	if len(r.aws.old) > 0 || len(r.aws.deleted) != 3 {
		t.Errorf("of the site's bucket %v are left, and %v deleted", r.aws.old, r.aws.deleted)
	}
}

func TestDestroyStopsWhereItFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply cdkReply
		want  string
	}{
		"the CDK fails":               {cdkReply{Exit: 1}, "start again to go on with what is left"},
		"the CDK knows no such stack": {cdkReply{Idle: true}, "IOpsDashboard-WatchStack is still there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.answer = func(_ context.Context, c cdkCall) cdkReply {
				if c.command() == "synth" {
					return cdkReply{}
				}
				return tc.reply
			}
			r.input = "prod\n"
			r.run(t, "--destroy").expect(t, exitFailed, tc.want)
			if calls := r.aws.commands(); len(calls) != 2 {
				t.Errorf("it went on to %v", calls)
			}
		})
	}
}
