package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/filter"
)

// where says which dead letters are meant.
type where struct {
	Queue string `arg:"" help:"Where they rest: fanout-0, fanout-0-subscription, quarantine or failures, or the name or URL of the queue."`
	stage `embed:""`
}

type stage struct {
	Stage string `help:"The stage, where it is not prod. The full name of a queue tells it."`
	From  string `placeholder:"QUEUE" help:"In the quarantine: the dead letters that a replay put there, which come from this queue, as fanout-0."`
}

// which chooses among them: all conditions must hold.
type which struct {
	JQ     string `name:"jq" placeholder:"PROGRAM" help:"Those for which this jq program yields anything but false and null. It gets {id, cause, body, attributes, system}."`
	ID     string `name:"id" help:"The one with this id of a message, as inspect shows it."`
	Since  string `placeholder:"TIME" help:"Sent at or after this time, as 2026-01-31T12:00:00Z, or so long ago, as 90m or 2d."`
	Until  string `placeholder:"TIME" help:"Sent before this time."`
	Cause  string `placeholder:"TEXT" help:"Whose cause, as inspect says it, has this in it."`
	Entity string `placeholder:"TYPE/ID" help:"About this entity, as student/stu_4532."`
	Tenant string `help:"Of this tenant."`
}

// conditions are what a run is about, as its log keeps them. Times are absolute there.
type conditions struct {
	Command        string     `json:"command,omitempty"` // other than replay
	From           string     `json:"from,omitempty"`
	JQ             string     `json:"jq,omitempty"`
	ID             string     `json:"id,omitempty"`
	Since          *time.Time `json:"since,omitempty"`
	Until          *time.Time `json:"until,omitempty"`
	Cause          string     `json:"cause,omitempty"`
	Entity         string     `json:"entity,omitempty"`
	Tenant         string     `json:"tenant,omitempty"`
	Limit          int        `json:"limit,omitempty"`
	SkipSuperseded bool       `json:"skip_superseded,omitempty"`
	Set            string     `json:"set,omitempty"`
}

func (w which) conditions(now time.Time) (conditions, error) {
	c := conditions{JQ: w.JQ, ID: w.ID, Cause: w.Cause, Entity: w.Entity, Tenant: w.Tenant}
	for _, t := range []struct {
		option, text string
		to           **time.Time
	}{{"--since", w.Since, &c.Since}, {"--until", w.Until, &c.Until}} {
		at, err := instant(t.option, t.text, now)
		if err != nil {
			return c, outcome{refused, err.Error()}
		}
		if !at.IsZero() {
			at = at.UTC()
			*t.to = &at
		}
	}
	return c, nil
}

func (c conditions) filter() (*filter.Filter, error) {
	o := filter.Options{JQ: c.JQ, ID: c.ID, Cause: c.Cause, Entity: c.Entity, Tenant: c.Tenant}
	if c.Since != nil {
		o.Since = *c.Since
	}
	if c.Until != nil {
		o.Until = *c.Until
	}
	f, err := filter.New(o)
	if err != nil {
		return nil, outcome{refused, err.Error()}
	}
	return f, nil
}

func (c conditions) text() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // jq programs have < and >
	_ = e.Encode(c)
	return string(bytes.TrimSpace(b.Bytes()))
}

// instant reads a time, or how long before now it was.
func instant(option, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n <= 100 {
			return now.Add(-time.Duration(n * float64(24*time.Hour))), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: want a time as 2026-01-31T12:00:00Z, or how long ago, as 90m or 2d", option, text)
}
