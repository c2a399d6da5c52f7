package report

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/planner/design"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

// blocks are the parts of the page that are made, by the names in its marks: <!-- plan: name --> and <!-- end -->.
var blocks = map[string]func(price.List) string{
	"default":  ofDefault,
	"designs":  ofDesigns,
	"views":    ofViews,
	"cadence":  ofCadence,
	"insights": ofInsights,
	"limits":   ofLimits,
	"prices":   ofPrices,
	"measures": ofMeasures,
}

var block = regexp.MustCompile(`(?s)(<!-- plan: ([a-z]+) -->\n).*?(<!-- end -->)`)

// Page returns a page with its made parts as they are now. Each part that there is must be on it once.
func Page(text string, prices price.List) (string, error) {
	var found []string
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		found = append(found, m[2])
	}
	slices.Sort(found)
	want := slices.Sorted(maps.Keys(blocks))
	if !slices.Equal(found, want) {
		return "", fmt.Errorf("the page has the parts %v, want each of %v", found, want)
	}
	return block.ReplaceAllStringFunc(text, func(part string) string {
		m := block.FindStringSubmatch(part)
		return m[1] + "\n" + blocks[m[2]](prices) + "\n" + m[3]
	}), nil
}

func ofDefault(prices price.List) string {
	p := design.Ours.Plan(design.Default(), prices)
	t := newTable("service", ">a month", "for")
	for _, c := range p.Costs {
		var items []string
		for _, i := range merged(c.Items) {
			text := i.What + " " + USD(i.USD)
			if i.Unverified {
				text += `\` + mark
			}
			items = append(items, text)
		}
		t.add(c.Service, USD(c.USD), strings.Join(items, ", "))
	}
	t.add("**all**", "**"+USD(p.Total)+"**", "")
	return t.markdown()
}

// over makes a table of one number that grows.
func over(name string, loads []design.Load, label func(design.Load) string, columns []string, cells func(design.Load) []string) string {
	t := newTable(append([]string{">" + name}, columns...)...)
	for _, l := range loads {
		t.add(append([]string{label(l)}, cells(l)...)...)
	}
	return t.markdown()
}

func with(n int, change ...func(*design.Load)) design.Load {
	l := design.Default()
	l.Dashboards = n
	for _, f := range change {
		f(&l)
	}
	return l
}

// ofDesigns has the cost of each design; in parentheses where it does not do what it should.
func ofDesigns(prices price.List) string {
	var loads []design.Load
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		loads = append(loads, with(n))
	}
	columns := []string{">plain", ">polling", ">polling, compressed", ">ours", ">ours, on Fargate"}
	return over("dashboards", loads, func(l design.Load) string { return Count(l.Dashboards) }, columns, func(l design.Load) []string {
		compressed := l
		compressed.Gzip = true
		return []string{
			total(design.Plain.Bill(l, prices)), total(design.Polling.Bill(l, prices)), total(design.Polling.Bill(compressed, prices)),
			total(design.Ours.Bill(l, prices)), total(design.Ours.Bill(onFargate(l), prices)),
		}
	})
}

func onFargate(l design.Load) design.Load {
	l.Worker = true
	return l
}

func total(p design.Plan) string {
	if p.Exceeded() {
		return "(" + USD(p.Total) + ")"
	}
	return USD(p.Total)
}

func ofViews(prices price.List) string {
	var loads []design.Load
	for _, share := range []float64{1, 0.3, 0.1, 0.01} {
		loads = append(loads, with(100, func(l *design.Load) { l.Views = share }))
	}
	return over("of all updates", loads, func(l design.Load) string { return Share(l.Views) },
		[]string{">messages", ">ours", ">polling", ">plain, which sends all", ">ours meets its first limit at dashboards"}, func(l design.Load) []string {
			p := design.Ours.Plan(l, prices)
			limit, _ := p.First()
			return []string{Number(p.Messages), total(p), total(design.Polling.Bill(l, prices)), total(design.Plain.Bill(l, prices)), Count(limit.Dashboards)}
		})
}

func ofCadence(prices price.List) string {
	var loads []design.Load
	for _, every := range []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute} {
		loads = append(loads, with(100, func(l *design.Load) { l.Cadence = every }))
	}
	return over("writers write", loads, func(l design.Load) string {
		if l.Cadence == 0 {
			return "evenly"
		}
		return "every " + Seconds(l.Cadence.Seconds())
	}, []string{">updates in a frame", ">ours, on Lambda", ">on Fargate", ">plain"}, func(l design.Load) []string {
		p, tasks := design.Ours.Bill(l, prices), design.Ours.Bill(onFargate(l), prices)
		return []string{
			Number(p.PerFrame) + ", " + Number(tasks.PerFrame), total(p), total(tasks), total(design.Plain.Bill(l, prices)),
		}
	})
}

// ofInsights has what the heartbeats cost, which read all insights of the last days that may count.
func ofInsights(prices price.List) string {
	var loads []design.Load
	for _, n := range []float64{0, 1, design.Default().Insights} {
		loads = append(loads, with(100, func(l *design.Load) { l.Insights = n }))
	}
	return over("insights a minute", loads, func(l design.Load) string { return Number(l.Insights) },
		[]string{">read units of a sync that reads", ">syncs' reads", ">ours", ">ours meets its first limit at dashboards"}, func(l design.Load) []string {
			p := design.Ours.Plan(l, prices)
			limit, _ := p.First()
			return []string{Number(p.SyncUnits), USD(prices.Prices.ReadUnit.Cost(p.StateReads)), total(p), Count(limit.Dashboards)}
		})
}

// ofLimits has those limits of each design that come first.
func ofLimits(prices price.List) string {
	const most = 4
	t := newTable("design", "limit", ">its value", ">used by 100", ">met at dashboards", "beyond it")
	list := func(name string, p design.Plan) {
		for i, l := range p.Limits {
			if i == most || l.Dashboards == 0 {
				break
			}
			limit := l.Name
			if l.Unverified {
				limit += `\` + mark
			}
			if strings.HasPrefix(l.Source, "https://") {
				limit = "[" + l.Name + "](" + l.Source + ")" + strings.TrimPrefix(limit, l.Name)
			}
			if l.Soft {
				limit = "(" + limit + ")"
			}
			t.add(name, limit, Number(l.Value)+" "+l.Unit, Share(l.Used), Count(l.Dashboards), l.Then)
			name = ""
		}
	}
	for _, d := range design.Designs {
		list(d.Name, d.Plan(design.Default(), prices))
	}
	list("ours, on Fargate", design.Ours.Plan(onFargate(design.Default()), prices))
	return t.markdown()
}

func ofPrices(prices price.List) string {
	t := newTable("service", ">US dollars", "for", "seen")
	prices.Each(func(_ string, p price.Price) {
		var tiers []string
		for _, tier := range p.Tiers {
			text := strconv.FormatFloat(tier.USD, 'f', -1, 64)
			if tier.UpTo > 0 {
				text += " up to " + Number(tier.UpTo)
			}
			tiers = append(tiers, text)
		}
		unit := p.Unit
		if p.Per > 1 {
			unit = Number(p.Per) + ": " + unit
		}
		if p.Note != "" && p.Verified {
			unit += "; " + p.Note
		}
		t.add("["+p.Service+"]("+p.Source+")", strings.Join(tiers, ", then "), unit, seen(p.Origin))
	}, func(string, price.Number) {}, func(string, price.Number) {})
	return t.markdown()
}

func seen(o price.Origin) string {
	switch {
	case o.Verified:
		return "yes"
	case o.Note != "":
		return "no: " + o.Note
	}
	return "no"
}

func ofMeasures(prices price.List) string {
	t := newTable(">number", "of", "from")
	prices.Each(func(string, price.Price) {}, func(string, price.Number) {}, func(_ string, n price.Number) {
		t.add(fmt.Sprintf("%g", n.Value), n.Unit, n.Source)
	})
	return t.markdown()
}
