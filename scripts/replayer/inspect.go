package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// inspect says what rests.
type inspect struct {
	where   `embed:""`
	which   `embed:""`
	Most    int  `default:"10000" help:"Look at no more than so many, at most 20000."`
	Samples int  `default:"3" help:"Show so many of each cause."`
	Bodies  bool `help:"Show their bodies, too. They hold data of your users."`
	JSON    bool `name:"json" help:"Write JSON."`
}

// Help is shown with --help.
func (inspect) Help() string {
	return `Receives what rests, counts it by cause, type, tenant and age, and makes it visible again, also on ctrl-C. While it looks, nobody
else receives those messages. Each look counts as a receive of the message; that moves nothing on, since these queues have no limit of
receives. What is killed without a word leaves its messages hidden for two minutes.

    scripts/replay inspect fanout-0 --cause unreadable --samples 10
    scripts/replay inspect fanout-0 --since 2h --jq '.body.data.entity_type == "tutor"'
    scripts/replay inspect fanout-0 --json | jq .causes`
}

// report is what inspect found.
type report struct {
	Queue    string     `json:"queue"`
	Target   string     `json:"target"`
	Messages int        `json:"messages"` // that were looked at
	More     bool       `json:"more"`     // may rest
	Matched  int        `json:"matched"`
	Causes   []group    `json:"causes"`
	Types    []group    `json:"types"`
	Tenants  []group    `json:"tenants"`
	Ages     []group    `json:"ages"`
	Samples  []specimen `json:"samples"`

	hidden error // why some may not be visible again
}

type group struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

type specimen struct {
	deadletter.Letter
	ID       string `json:"id"`
	Receives int    `json:"receives"`
	Replays  int    `json:"replays"` // so far
	Body     string `json:"body,omitempty"`
}

// ages are the bands of age, the youngest first. After 14 days SQS deletes what rests.
var ages = []struct {
	under time.Duration
	name  string
}{
	{time.Hour, "less than an hour"}, {24 * time.Hour, "less than a day"}, {4 * 24 * time.Hour, "less than 4 days"},
	{10 * 24 * time.Hour, "less than 10 days"}, {1<<63 - 1, "10 days and more: gone after 14"},
}

func (c inspect) Run(w world) error {
	now := time.Now()
	said, err := c.conditions(now)
	if err != nil {
		return err
	}
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	if c.Most < 1 || c.Most > redrive.MaxHeld || c.Samples < 0 {
		return outcome{refused, fmt.Sprintf("--most is 1 to %d, and --samples 0 or more", redrive.MaxHeld)}
	}
	p, err := w.find(c.Queue, c.stage)
	if err != nil {
		return err
	}
	r := report{Queue: p.Name, Target: p.owner().Target, Samples: []specimen{}}
	causes, types, tenants, bands := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	var broken error
	var more bool
	n, more, err := redrive.Look(w.ctx, p.source(), c.Most, func(m redrive.Message) {
		letter, err := p.decide(w.ctx, m, chosen, nil)
		if broken = cmp.Or(broken, err); err != nil || letter.Fate == redrive.Skip {
			return
		}
		r.Matched++
		if causes[letter.Cause]++; causes[letter.Cause] <= c.Samples {
			s := specimen{Letter: letter.Letter, ID: m.ID, Receives: m.ReceiveCount, Replays: redrive.Replays(letter.message)}
			if c.Bodies {
				s.Body = m.Body
			}
			r.Samples = append(r.Samples, s)
		}
		types[cmp.Or(letter.Type, "unknown")]++
		tenants[cmp.Or(letter.Tenant, "unknown")]++
		age := slices.IndexFunc(ages, func(a struct {
			under time.Duration
			name  string
		}) bool {
			return now.Sub(letter.SentAt) < a.under
		})
		bands[ages[age].name]++
	})
	r.Messages, r.More = n, more
	r.Causes, r.Types, r.Tenants, r.Ages = groups(causes), groups(types), groups(tenants), groups(bands)
	interrupted := w.ctx.Err() != nil
	if !interrupted && broken != nil {
		return errors.Join(err, broken)
	}
	r.hidden = err // some messages, perhaps
	if c.JSON {
		err = json.NewEncoder(w.out).Encode(r)
	} else {
		err = r.write(w.out, now)
	}
	told(w, chosen)
	switch {
	case r.hidden != nil:
		return r.hidden
	case err != nil:
		return err
	case interrupted:
		return outcome{left, "interrupted: not all was looked at, and what was is visible again"}
	case r.Matched == 0:
		return outcome{code: nothing}
	}
	return nil
}

func groups(counts map[string]int) []group {
	all := []group{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, group{name, counts[name]})
	}
	slices.SortStableFunc(all, func(a, b group) int { return b.Count - a.Count })
	return all
}

// shown is how many groups of a kind are written.
const shown = 10

func (r report) write(out io.Writer, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, which belong to %s\n", r.Queue, r.Target)
	rest := "messages"
	if r.More {
		rest = "messages were looked at, there may be more"
	}
	fmt.Fprintf(&b, "%d %s; %d match\n", r.Messages, rest, r.Matched)
	for _, kind := range []struct {
		name string
		all  []group
	}{{"cause", r.Causes}, {"type", r.Types}, {"tenant", r.Tenants}, {"age", r.Ages}} {
		if len(kind.all) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nby %s\n", kind.name)
		for i, g := range kind.all {
			if i == shown {
				fmt.Fprintf(&b, "         … and %d others: --json has them\n", len(kind.all)-shown)
				break
			}
			fmt.Fprintf(&b, "%8d  %s\n", g.Count, printable(g.Name))
		}
	}
	if len(r.Samples) > 0 {
		fmt.Fprintf(&b, "\nsamples\n")
	}
	for _, s := range r.Samples {
		fmt.Fprintf(&b, "  %s  %s  %s  tenant %s, %s old, received %d times%s: %s\n", printable(s.ID), printable(cmp.Or(s.Type, "unknown")),
			printable(cmp.Or(s.Entity, "unknown")), printable(cmp.Or(s.Tenant, "unknown")), now.Sub(s.SentAt).Round(time.Second), s.Receives, replayed(s.Replays), printable(s.Cause))
		if s.Body != "" {
			fmt.Fprintf(&b, "    %q\n", s.Body)
		}
	}
	if r.Messages > 0 && r.hidden == nil {
		fmt.Fprintf(&b, "\nThis look counts as a receive of each of them. All are visible again.\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func replayed(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", replayed %d", n)
}

// printable keeps what a message says from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
