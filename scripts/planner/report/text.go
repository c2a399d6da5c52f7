package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

// mark is behind what rests on a number that was assumed, or that only third parties quote.
const mark = "*"

const legend = mark + " rests on a number that is assumed, or that only third parties quote."

// Text tells all of one plan.
func Text(w io.Writer, l design.Load, p design.Plan, prices price.List) error {
	var b strings.Builder
	b.WriteString(wrap(Load(l), "", "") + wrap(Conditions(l, prices), "", "") + "\n")
	b.WriteString(quantities(l, p).text() + "\n")
	b.WriteString(wrap(dashboard(p), "", "") + "\n")
	b.WriteString(bill(p) + "\n")
	b.WriteString(limits(p) + "\n" + wrap(legend, "", "  "))
	_, err := io.WriteString(w, b.String())
	return err
}

// Compare sets plans of one load side by side.
func Compare(w io.Writer, l design.Load, plans []design.Plan, prices price.List) error {
	var b strings.Builder
	b.WriteString(wrap(Load(l), "", "") + wrap(Conditions(l, prices), "", "") + "\n")
	for _, d := range design.Designs {
		b.WriteString(wrap(d.Text, fmt.Sprintf("%-9s", d.Name), strings.Repeat(" ", 9)))
	}
	b.WriteString("\n" + compared(plans).text() + "\n")
	for _, p := range plans {
		b.WriteString(wrap(first(p), p.Design+": ", "  "))
	}
	b.WriteString("\n" + wrap(legend, "", "  "))
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON writes the load, the plans and all numbers that they rest on.
func JSON(w io.Writer, l design.Load, plans []design.Plan, prices price.List) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"load": l, "plans": plans, "numbers": prices})
}

// Load says in a sentence what is asked for.
func Load(l design.Load) string {
	text := Count(l.Dashboards) + " dashboards that show " + shown(l.Views) + ", with " + fields(l.Fields) + ". "
	text += Number(l.Updates) + " updates a minute of " + Count(l.Entities) + " entities, and " + Number(l.Insights) + " insights"
	if l.Cadence > 0 {
		return text + ", all of " + Seconds(l.Cadence.Seconds()) + " together."
	}
	return text + ", spread evenly."
}

func shown(views float64) string {
	if views == 1 {
		return "everything"
	}
	return Share(views) + " of all"
}

func fields(n int) string {
	if n == 0 {
		return "all attributes"
	}
	return fmt.Sprintf("%d of %d attributes", n, design.Attributes)
}

// Conditions say what the numbers hold for.
func Conditions(l design.Load, prices price.List) string {
	fanout := "Lambda"
	if l.Worker {
		fanout = fmt.Sprintf("Fargate, %d tasks of a shard at most", l.Tasks)
	}
	return fmt.Sprintf("Open %s hours a day; page loads a day of each: %s. Fanout on %s; shards: %d. A month has 30 days. Prices of %s, %s, without free tiers.",
		Number(l.Hours), Number(l.Opens), fanout, l.Shards, prices.Region, prices.Date)
}

func quantities(l design.Load, p design.Plan) *table {
	t := newTable("", ">a second", ">a month")
	open, month := 30*3600*l.Hours, 30*86400.0
	add := func(name string, amount, per float64, text func(float64) string) {
		if amount > 0 {
			t.add(name, text(amount/per), text(amount))
		}
	}
	add("updates and insights", (l.Updates+l.Insights)/60*month, month, Number)
	add("messages to dashboards", p.Messages, open, Number)
	add("messages from dashboards", p.Commands, open, Number)
	add("bytes to dashboards", p.BytesOut, open, Bytes)
	add("write units of the state table", p.StateWrites, month, Number)
	add("read units of the state table", p.StateReads, open, Number)
	add("reads of the audience", p.Audiences, month, Number)
	add("read units of the registry", p.Registry.Reads, month, Number)
	add("write units of the registry", p.Registry.Writes, month, Number)
	add("new connections", p.Connects, open, Number)
	return t
}

// dashboard tells what one of them has of it.
func dashboard(p design.Plan) string {
	text := "A dashboard gets a frame every " + Seconds(p.FrameEvery) + ", of " + Number(p.PerFrame) + " updates. "
	if p.SyncEvery > 0 {
		text += "It synchronises every " + Seconds(p.SyncEvery) + "; " + Share(p.Confirmed) + " of all syncs are answered by SYNCED, the others read the state table, " + Number(p.SyncUnits) + " units each, and are answered by a snapshot of what may differ. "
	}
	text += "The last dashboard has an update " + Seconds(p.Sweep) + " after it came from the queue."
	if p.Return > 0 {
		text += " After an outage all are back within " + Seconds(p.Return) + "."
	}
	if p.Shown < 1 {
		text += " Of all updates, " + Share(p.Shown) + " are shown."
	}
	if p.Tasks > 1 {
		text += " " + Number(p.Tasks) + " tasks of a shard run."
	}
	return text
}

func bill(p design.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s%12s  a month\n", "Cost", USD(p.Total))
	for _, c := range p.Costs {
		var items []string
		for _, i := range merged(c.Items) {
			text := i.What + " " + USD(i.USD)
			if i.Unverified {
				text += mark
			}
			items = append(items, text)
		}
		const indent = 32
		head := fmt.Sprintf("  %-14s%12s  ", c.Service, USD(c.USD))
		b.WriteString(wrap(strings.Join(items, ", "), head, strings.Repeat(" ", indent-2)))
	}
	return b.String()
}

// merged adds up what is called the same.
func merged(items []design.Item) []design.Item {
	var all []design.Item
	at := map[string]int{}
	for _, i := range items {
		n, seen := at[i.What]
		if !seen {
			at[i.What] = len(all)
			all = append(all, i)
			continue
		}
		all[n].USD += i.USD
		all[n].Unverified = all[n].Unverified || i.Unverified
	}
	return all
}

// limits are listed nearest first; the nearest is explained.
func limits(p design.Plan) string {
	t := newTable("Limit", ">used", ">met at dashboards", ">or updates a minute")
	for _, l := range p.Limits {
		name := l.Name + marked(l)
		if l.Soft {
			name = "(" + name + ")"
		}
		t.add("  "+name, Share(l.Used), met(float64(l.Dashboards)), met(l.Updates))
	}
	return wrap(first(p), "", "") + "\n" + t.text() + "In parentheses: beyond it the design does what it should, or AWS raises it by itself.\n"
}

func met(v float64) string {
	if v == 0 {
		return "-"
	}
	return grouped(v)
}

func marked(l design.Limit) string {
	if l.Unverified {
		return mark
	}
	return ""
}

// first tells which limit comes first.
func first(p design.Plan) string {
	l, ok := p.First()
	if !ok {
		return "No number of dashboards meets a limit that is known."
	}
	text := "First limit: " + l.Name + marked(l) + ", " + grouped(l.Value) + " " + l.Unit + ". "
	switch {
	case l.Used >= 1:
		text += "It is exceeded: " + Number(l.Used) + " times as much is asked for"
	case l.Dashboards > 0:
		text += Share(l.Used) + " of it is used, and " + Count(l.Dashboards) + " dashboards meet it"
	default:
		text += Share(l.Used) + " of it is used, and " + grouped(l.Updates) + " updates a minute meet it"
	}
	text += ". Beyond it, " + l.Then + "."
	if l.Adjustable {
		text += " It can be raised."
	}
	return text + " Source: " + l.Source
}

func compared(plans []design.Plan) *table {
	columns := []string{"a month"}
	for _, p := range plans {
		columns = append(columns, ">"+p.Design)
	}
	t := newTable(columns...)
	row := func(name string, of func(design.Plan) string) {
		cells := []string{name}
		for _, p := range plans {
			cells = append(cells, of(p))
		}
		t.add(cells...)
	}
	amount := func(text func(float64) string, of func(design.Plan) float64) func(design.Plan) string {
		return func(p design.Plan) string {
			if v := of(p); v > 0 {
				return text(v)
			}
			return "-"
		}
	}
	row("messages to dashboards", amount(Number, func(p design.Plan) float64 { return p.Messages }))
	row("messages from dashboards", amount(Number, func(p design.Plan) float64 { return p.Commands }))
	row("bytes to dashboards", amount(Bytes, func(p design.Plan) float64 { return p.BytesOut }))
	row("write units of the state table", amount(Number, func(p design.Plan) float64 { return p.StateWrites }))
	row("read units of the tables", amount(Number, func(p design.Plan) float64 { return p.StateReads }))
	row("read units of the registry", amount(Number, func(p design.Plan) float64 { return p.Registry.Reads }))
	row("write units of the registry", amount(Number, func(p design.Plan) float64 { return p.Registry.Writes }))
	row("updates that are shown", func(p design.Plan) string { return Share(p.Shown) })
	row("the last dashboard has one after", func(p design.Plan) string { return Seconds(p.Sweep) })
	for _, service := range services(plans) {
		row("  "+service, func(p design.Plan) string {
			for _, c := range p.Costs {
				if c.Service == service {
					return USD(c.USD)
				}
			}
			return "-"
		})
	}
	row("cost", func(p design.Plan) string { return USD(p.Total) })
	row("first limit, at dashboards", func(p design.Plan) string {
		l, ok := p.First()
		if !ok || l.Dashboards == 0 {
			return "-"
		}
		return Count(l.Dashboards) + marked(l)
	})
	return t
}

// services are those of all plans, in the order of the last one's costs.
func services(plans []design.Plan) []string {
	var all []string
	seen := map[string]bool{}
	for i := len(plans) - 1; i >= 0; i-- {
		for _, c := range plans[i].Costs {
			if !seen[c.Service] {
				seen[c.Service] = true
				all = append(all, c.Service)
			}
		}
	}
	return all
}
