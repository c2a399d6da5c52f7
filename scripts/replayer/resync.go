package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/resync"
)

// resyncing brings the rows of a table to the normalizer.
type resyncing struct {
	Table   string   `arg:"" help:"metrics or insights, or the name of the table, if it was brought."`
	Stage   string   `default:"prod" help:"The stage."`
	Entity  string   `placeholder:"TYPE/ID" help:"Only this one, as student/stu_4532."`
	Tenant  string   `help:"With --entity: the tenant to whom it may be shown, besides its own. It spares reading all that is shown."`
	Gone    int      `default:"100" help:"Refuse if more rows than so many are shown and gone: a wrong table has none of what is shown."`
	Confirm bool     `help:"Do it. Without: say how many there are."`
	Rate    *float64 `help:"Records a second, at most. Defaults to 50."`
	JSON    bool     `name:"json" help:"Write the result as JSON."`
}

// Help is shown with --help.
func (resyncing) Help() string {
	return `Reads the whole table, and what dashboards are shown of it, and gives the normalizer a record of each row that is not shown as it is,
and of each that is shown and gone. It is for rows that were there before the stream was, and for changes that nobody can read any more.
What the stream tells later wins.

A table that was brought is named by METRICS_TABLE or INSIGHTS_TABLE.

    scripts/replay resync metrics                                how many differ
    scripts/replay resync metrics --confirm --rate 200
    scripts/replay resync metrics --entity student/stu_4532 --confirm

Not while the normalizer is behind: what it has not read yet differs, too. What it gave up, or has in quarantine, is to be brought back
before, and not after: it could be shown as it was then.`
}

// Run resyncs.
func (c resyncing) Run(w world) (err error) {
	switch {
	case !rated(c.Rate):
		return outcome{refused, "--rate is 1 to 1000"}
	case c.Tenant != "" && c.Entity == "":
		return outcome{refused, "--tenant goes with --entity"}
	}
	a, err := w.account()
	if err != nil {
		return err
	}
	s, err := a.rows(w.ctx, c.Table, c.Stage)
	if err != nil {
		return err
	}
	if c.Entity != "" {
		key, err := s.Table.Key(c.Entity)
		if err != nil {
			return outcome{refused, err.Error()}
		}
		s.Only, s.Tenant = &key, c.Tenant
	}
	if !c.Confirm {
		return c.count(w, s)
	}
	if err := bounded(w.ctx, s, c.Gone); err != nil {
		return err
	}
	run := redrive.NewRun(time.Now())
	log, err := w.log(run, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	function := normalizerAt(c.Stage)
	said := conditions{Command: "resync", Entity: c.Entity, Tenant: c.Tenant}
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	taken := 0
	_, err = w.carry(redrive.Plan{
		Run: run, Log: log, Filter: said.text(), Source: &task{name: s.Table.Name}, SourceName: s.Table.Name,
		Target: normalizer.New(lambda.NewFromConfig(a.config), function), TargetName: function,
		Decide: func(ctx context.Context, _ redrive.Message) (redrive.Decision, error) {
			return redrive.Decision{Fate: redrive.Replay, Messages: resync.Rows(ctx, s)}, nil
		},
	}, job{
		how: how{Confirm: true, Rate: c.Rate, Hold: redrive.DefaultHold}, from: s.Table.Name, to: function, again: "the same command, given again",
		sums: func(r redrive.Result) string {
			taken = r.Entries
			if c.JSON {
				text, _ := json.Marshal(map[string]any{"run": run, "source": s.Table.Name, "target": function, "dry_run": false, "rows": r.Entries, "left": r.Left, "why": r.Why})
				return string(text)
			}
			return fmt.Sprintf("%d records of %s were taken by %s", r.Entries, s.Table.Name, function)
		},
	}, chosen)
	if err == nil && taken == 0 {
		err = outcome{nothing, "all rows are shown as they are"}
	}
	return err
}

// mostGone is how many rows may be shown and gone unless somebody says so: a wrong table has none of what is shown.
const mostGone = 100

// counted returns how many records there are to be brought, and how many of them are of rows that are shown and gone. It
// stops when these are more than most.
func counted(ctx context.Context, s resync.Source, most int) (n, gone int, err error) {
	for m, err := range resync.Rows(ctx, s) {
		if err != nil {
			return n, gone, err
		}
		var record struct {
			Name string `json:"eventName"`
		}
		if err := json.Unmarshal([]byte(m.Body), &record); err != nil {
			return n, gone, err
		}
		if n++; record.Name == "REMOVE" {
			if gone++; gone > most {
				return n, gone, nil
			}
		}
	}
	return n, gone, nil
}

// bounded refuses to have more rows taken away from what is shown than may be gone.
func bounded(ctx context.Context, s resync.Source, most int) error {
	_, gone, err := counted(ctx, s, most)
	if err == nil && gone > most {
		err = outcome{refused, fmt.Sprintf("more than %d rows are shown and not in %s: is it the right table? If it is, scripts/replay resync with a higher --gone goes on", most, s.Table.Name)}
	}
	return err
}

// count says how many rows there are to be brought.
func (c resyncing) count(w world, s resync.Source) error {
	n, gone, err := counted(w.ctx, s, 1<<62)
	if w.ctx.Err() != nil {
		return outcome{left, fmt.Sprintf("interrupted: there are %d at least", n)}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(w.out).Encode(map[string]any{"source": s.Table.Name, "dry_run": true, "rows": n, "gone": gone}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w.out, "%d rows of %s: %d are not shown as they are, %d are shown and gone\nNothing was sent: --confirm sends them.\n", n, s.Table.Name, n-gone, gone)
	}
	if n == 0 {
		return outcome{nothing, "all rows are shown as they are"}
	}
	return nil
}

// normalizerAt is the name of the function that makes events of records.
func normalizerAt(stage string) string {
	return topology.New(topology.Options{Stage: stage}).Streams[0].Function
}

// table finds a table that is named metrics or insights, or by its name.
func (a account) table(named, stage string) (resync.Table, error) {
	own := topology.New(topology.Options{Stage: stage})
	plain := topology.New(topology.Options{})
	for i, t := range own.Tables {
		// The variables name a table that was brought, or are of a system on one machine. Those of another stage would have
		// its rows shown here.
		text := os.Getenv(t.Variable)
		if base := plain.Tables[i].Name; t.Stream && text != t.Name && (text == base || strings.HasPrefix(text, base+"-")) {
			return resync.Table{}, outcome{refused, fmt.Sprintf("%s names %s, which is of another stage than %s", t.Variable, text, stage)}
		}
	}
	system := topology.New(topology.Options{
		Stage: stage, MetricsTable: os.Getenv("METRICS_TABLE"), InsightsTable: os.Getenv("INSIGHTS_TABLE"),
	})
	for _, t := range system.Tables {
		if variable := map[string]string{"metrics": "METRICS_TABLE", "insights": "INSIGHTS_TABLE"}[named]; t.Variable == variable {
			named = t.Name
		}
	}
	table, ok := resync.Find(system, named)
	if !ok {
		return table, outcome{refused, fmt.Sprintf("the rows of %s are nothing that is shown: want metrics or insights; a table that was brought is named by METRICS_TABLE or INSIGHTS_TABLE", named)}
	}
	return table, nil
}

// rows are those of a table that are not shown as they are.
func (a account) rows(ctx context.Context, named, stage string) (resync.Source, error) {
	table, err := a.table(named, stage)
	if err != nil {
		return resync.Source{}, err
	}
	client := dynamodb.NewFromConfig(a.config)
	stream, _, err := resync.Describe(ctx, client, table)
	return resync.Source{Client: client, Table: table, Stream: stream}, err
}

// task is a queue with one message: what is to be done.
type task struct {
	name       string
	held, done bool
}

func (t *task) Receive(context.Context, int, time.Duration) ([]redrive.Message, error) {
	if t.held || t.done {
		return nil, nil
	}
	t.held = true
	return []redrive.Message{{ID: t.name, SentAt: time.Now(), ReceiveCount: 1}}, nil
}

func (t *task) Delete(context.Context, []redrive.Message) (map[string]redrive.Failure, error) {
	t.done = true
	return nil, nil
}

func (t *task) Hide(_ context.Context, _ []redrive.Message, d time.Duration) (map[string]redrive.Failure, error) {
	t.held = d > 0
	return nil, nil
}

func (t *task) Depth(context.Context) (visible, hidden int, err error) {
	switch {
	case t.done:
		return 0, 0, nil
	case t.held:
		return 0, 1, nil
	}
	return 1, 0, nil
}

func (t *task) Send(context.Context, []redrive.Entry) (map[int]redrive.Failure, error) {
	return nil, redrive.ErrRefused
}
