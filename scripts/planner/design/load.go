// Package design is the arithmetic of three designs that bring updates to dashboards: what each asks of AWS, what that
// costs, and which limit it meets first. All of it is averages over a month of 30 days, but for the limits, which are
// about a second in which dashboards are open.
package design

import (
	"errors"
	"fmt"
	"time"
)

// Load is what is asked of a design.
type Load struct {
	Dashboards int     `json:"dashboards"` // that are open at a time, all of one tenant
	Updates    float64 `json:"updates"`    // of entities, a minute
	Insights   float64 `json:"insights"`   // that are found, a minute
	Entities   int     `json:"entities"`
	// Views is the share of the updates, and so of the entities and insights, that the views of a dashboard match.
	Views float64 `json:"views"`
	// Fields is how many attributes of an entity the views ask for; 0: all.
	Fields int `json:"fields"`
	// Cadence is how often the writers write: all updates of that time come together. 0: they are spread evenly.
	Cadence time.Duration `json:"cadence_ns"`
	Hours   float64       `json:"hours"`   // of a day, in which the dashboards are open
	Opens   float64       `json:"opens"`   // how often a day a page is loaded anew, of each dashboard
	Poll    time.Duration `json:"poll_ns"` // from one poll to the next, of the design that polls

	// Gzip has the answers to polls compressed, which neither an HTTP API nor our function does by itself.
	Gzip bool `json:"gzip"`

	Shards int  `json:"shards"` // fanout queues of ours
	Worker bool `json:"worker"` // ours posts by tasks of Fargate, and not by Lambda
	Tasks  int  `json:"tasks"`  // of a shard, at most
}

// Attributes is how many attributes an entity has: students and tutors, as most are.
const Attributes = 10

// insightsShare is how many insights the simulator's rules find for an update: 50 streams find 10,000 in ten hours,
// see services/internal/state/insight.go.
const insightsShare = 1.0 / 30

// Default is the load of the design page: 50 streams of 10 events a minute over 1,000 entities, and the insights that
// the simulator's rules find in them, with 100 dashboards that show everything day and night.
func Default() Load {
	return Load{
		Dashboards: 100, Updates: 500, Insights: DefaultInsights(500), Entities: 1000, Views: 1,
		Hours: 24, Opens: 1, Poll: 5 * time.Second, Shards: 1, Tasks: 4,
	}
}

// DefaultInsights is how many insights come with so many updates, if nobody says.
func DefaultInsights(updates float64) float64 { return updates * insightsShare }

// What the arithmetic was thought through for: beyond, a number is a slip of the keys.
const (
	maxDashboards = 10_000_000
	maxUpdates    = 60_000_000
	maxEntities   = 100_000_000
	maxShards     = 16
	maxTasks      = 100
	day           = 24 * time.Hour
)

// Validate returns an error that names everything that makes no sense.
func (l Load) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	within := func(v, least, most float64) bool { return v >= least && v <= most } // and no NaN
	check(within(float64(l.Dashboards), 1, maxDashboards), "--dashboards is %d: want 1 to %d", l.Dashboards, maxDashboards)
	check(within(l.Updates, 0, maxUpdates), "--updates is %v a minute: want 0 to %d", l.Updates, maxUpdates)
	check(within(l.Insights, 0, maxUpdates), "--insights is %v a minute: want 0 to %d", l.Insights, maxUpdates)
	check(within(float64(l.Entities), 1, maxEntities), "--entities is %d: want 1 to %d", l.Entities, maxEntities)
	check(l.Views > 0 && l.Views <= 1, "--views is %s: want a share of the updates, above 0%% and up to 100%%", percent(l.Views))
	check(l.Fields >= 0 && l.Fields <= Attributes, "--fields is %d: want 1 to %d, or 0 for all", l.Fields, Attributes)
	check(l.Cadence >= 0 && l.Cadence <= day, "--cadence is %v: want 0, or up to %v", l.Cadence, day)
	check(within(l.Hours, 0.1, 24), "--hours is %v: want 0.1 to 24 of a day", l.Hours)
	check(within(l.Opens, 0, 1000), "--opens is %v a day: want 0 to 1000", l.Opens)
	check(l.Poll >= 100*time.Millisecond && l.Poll <= day, "--poll is %v: want 100ms to %v", l.Poll, day)
	check(l.Shards >= 1 && l.Shards <= maxShards, "--shards is %d: want 1 to %d", l.Shards, maxShards)
	check(l.Tasks >= 1 && l.Tasks <= maxTasks, "--tasks is %d: want 1 to %d", l.Tasks, maxTasks)
	check(l.Updates+l.Insights > 0 || len(errs) > 0, "--updates and --insights are both 0: there is nothing to bring")
	return errors.Join(errs...)
}

func percent(share float64) string { return fmt.Sprintf("%.6g%%", 100*share) }

// metrics and insights are what is written, a second.
func (l Load) metrics() float64  { return l.Updates / 60 }
func (l Load) insights() float64 { return l.Insights / 60 }
func (l Load) events() float64   { return l.metrics() + l.insights() }

// metricsShare is how many of the events are about entities.
func (l Load) metricsShare() float64 { return l.metrics() / l.events() }

// watched is how many entities a dashboard shows.
func (l Load) watched() float64 { return float64(l.Entities) * l.Views }

const month = 30 * 24 * 3600 // seconds

// open is how many seconds of a month the dashboards are open.
func (l Load) open() float64 { return month * l.Hours / 24 }

// opens is how often a page of one dashboard is loaded, a second in which it is open.
func (l Load) opens() float64 { return l.Opens / (l.Hours * 3600) }
