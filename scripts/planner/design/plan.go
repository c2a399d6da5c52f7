package design

import (
	"math"
	"slices"
	"time"

	"github.com/iops-dashboard/live/scripts/planner/price"
)

// Plan is what becomes of a load in one design.
type Plan struct {
	Design string `json:"design"`

	// Of the month:
	Messages    float64 `json:"messages"`     // to dashboards: frames, or answers to polls
	Commands    float64 `json:"commands"`     // from dashboards: syncs, or polls
	BytesOut    float64 `json:"bytes_out"`    // to dashboards
	StateWrites float64 `json:"state_writes"` // write units of the state table
	StateReads  float64 `json:"state_reads"`  // read units of the table that answers are made from
	Audiences   float64 `json:"audiences"`    // reads of all who watch
	Registry    Units   `json:"registry"`     // of the connections' table
	Connects    float64 `json:"connects"`

	// Of a dashboard:
	FrameEvery float64 `json:"frame_every"`     // seconds from one to the next; 0: none comes
	PerFrame   float64 `json:"per_frame"`       // updates in a frame
	SyncEvery  float64 `json:"sync_every"`      // seconds; 0: it sends none
	SyncUnits  float64 `json:"sync_units"`      // read units of the state table, of one that reads
	Confirmed  float64 `json:"confirmed"`       // share of the syncs that SYNCED answers, and no snapshot
	Sweep      float64 `json:"sweep"`           // seconds until the last dashboard has what the first has got
	Return     float64 `json:"return"`          // seconds until all are back whom an outage has thrown out; 0: not known
	Shown      float64 `json:"shown"`           // share of the updates that it is told of, or of a later state of the entity
	Tasks      float64 `json:"tasks,omitempty"` // of a shard, that run

	Costs  []Cost  `json:"costs"` // by service, the largest first
	Total  float64 `json:"total"` // US dollars a month
	Limits []Limit `json:"limits"`

	items []Item
}

// Units are those of DynamoDB.
type Units struct {
	Reads  float64 `json:"reads"`
	Writes float64 `json:"writes"`
}

// Cost is the bill of one service for a month, in US dollars, and what is on it.
type Cost struct {
	Service string  `json:"service"`
	USD     float64 `json:"usd"`
	Items   []Item  `json:"items"`
}

// Item is so many units of one kind in a month.
type Item struct {
	What       string  `json:"what"`
	Units      float64 `json:"units"`
	Unit       string  `json:"unit"`
	USD        float64 `json:"usd"`
	Unverified bool    `json:"unverified,omitempty"` // its price is

	price price.Price
}

// Limit is something that a design meets when the load grows.
type Limit struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Used   float64 `json:"used"` // share of it; 1: it is met
	Then   string  `json:"then"` // what happens beyond
	Source string  `json:"source"`
	// Adjustable: AWS, or whoever owns the topology, raises it if asked.
	Adjustable bool `json:"adjustable,omitempty"`
	// Unverified: the limit is, or a measure that Used was made of.
	Unverified bool `json:"unverified,omitempty"`
	// Soft: beyond it the design still does what it should, or AWS raises it by itself as it is used.
	Soft bool `json:"soft,omitempty"`
	// Dashboards is how many meet it, if all else stays; Updates is how many a minute do. 0: no number of them.
	Dashboards int     `json:"dashboards,omitempty"`
	Updates    float64 `json:"updates,omitempty"`
}

// First is the limit that is met first as dashboards come, or updates; soft ones do not count. It reports false where none
// is, by any number.
func (p Plan) First() (Limit, bool) {
	for _, l := range p.Limits {
		if !l.Soft && (l.Dashboards > 0 || l.Updates > 0) {
			return l, true
		}
	}
	return Limit{}, false
}

// Exceeded reports whether the design cannot do what it should.
func (p Plan) Exceeded() bool {
	return slices.ContainsFunc(p.Limits, func(l Limit) bool { return !l.Soft && l.Used >= 1 })
}

// Design makes a plan of a load.
type Design struct {
	Name, Text string
	plan       func(Load, price.List) Plan
}

// Designs are all there are: the two to compare with, and ours.
var Designs = []Design{
	{"plain", "a function scans the connections, and posts each record to each of them", plain},
	{"polling", "each dashboard asks an HTTP API for all that it watches, again and again", polling},
	{"ours", "this system", ours},
}

// Plain, Polling and Ours are these.
var Plain, Polling, Ours = Designs[0], Designs[1], Designs[2]

// Plan works a valid load out.
func (d Design) Plan(l Load, prices price.List) Plan {
	p := d.Bill(l, prices)
	dashboards := d.growing(prices, func(n float64) Load {
		grown := l
		grown.Dashboards = int(n)
		return grown
	})
	updates := d.growing(prices, func(n float64) Load {
		grown := l
		grown.Updates, grown.Insights = n, n*l.Insights/l.Updates
		return grown
	})
	for i := range p.Limits {
		p.Limits[i].Dashboards = int(dashboards.meets(i, maxDashboards))
		if l.Updates > 0 {
			p.Limits[i].Updates = updates.meets(i, maxUpdates)
		}
	}
	slices.SortStableFunc(p.Limits, func(a, b Limit) int { return b.compare(a) })
	return p
}

// Bill is a plan that does not say how many dashboards or updates meet its limits, and is made much faster.
func (d Design) Bill(l Load, prices price.List) Plan {
	p := d.plan(l, prices)
	p.Design = d.Name
	p.sum()
	return p
}

// growing is what is used of each limit of a design, by a number that grows.
type growing struct {
	used func(n float64) []Limit
	seen map[float64][]Limit
}

func (d Design) growing(prices price.List, with func(n float64) Load) growing {
	return growing{used: func(n float64) []Limit { return d.plan(with(n), prices).Limits }, seen: map[float64][]Limit{}}
}

// meets finds the least whole number, up to most, with which the limit is met; 0 if there is none.
func (g growing) meets(limit int, most float64) float64 {
	met := func(n float64) bool {
		all, ok := g.seen[n]
		if !ok {
			all = g.used(n)
			g.seen[n] = all
		}
		return all[limit].Used >= 1
	}
	if !met(most) {
		return 0
	}
	low, high := 0.0, most
	for high-low > max(1, high/1e6) {
		if middle := math.Floor((low + high) / 2); met(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// compare orders limits by how near they are.
func (l Limit) compare(with Limit) int {
	near := func(l Limit) float64 {
		switch {
		case l.Used >= 1:
			return 1e12 + l.Used
		case l.Dashboards > 0:
			return 1 / float64(l.Dashboards)
		}
		return -1 / max(l.Updates, 1e-9)
	}
	a, b := near(l), near(with)
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}

// bill adds units of a month. Nothing is not on it.
func (p *Plan) bill(what string, of price.Price, units float64) {
	if units > 0 {
		p.items = append(p.items, Item{What: what, Units: units, Unit: of.Unit, Unverified: !of.Verified, price: of})
	}
}

// sum makes the costs of the items. Units of one price are summed before its tiers count, and share what that costs.
func (p *Plan) sum() {
	units := map[string]float64{}
	for _, item := range p.items {
		units[item.Unit] += item.Units
	}
	p.Total = 0
	for _, item := range p.items {
		item.USD = item.price.Cost(units[item.Unit]) * item.Units / units[item.Unit]
		i := slices.IndexFunc(p.Costs, func(c Cost) bool { return c.Service == item.price.Service })
		if i < 0 {
			i = len(p.Costs)
			p.Costs = append(p.Costs, Cost{Service: item.price.Service})
		}
		p.Costs[i].Items = append(p.Costs[i].Items, item)
		p.Costs[i].USD += item.USD
		p.Total += item.USD
	}
	slices.SortStableFunc(p.Costs, func(a, b Cost) int {
		switch {
		case a.USD > b.USD:
			return -1
		case a.USD < b.USD:
			return 1
		}
		return 0
	})
}

// limit adds a limit of AWS.
func (p *Plan) limit(name string, of price.Number, demand float64, then string, by ...price.Number) {
	unverified := !of.Verified
	for _, n := range by {
		unverified = unverified || !n.Verified
	}
	p.Limits = append(p.Limits, Limit{
		Name: name, Value: of.Value, Unit: of.Unit, Used: demand / of.Value, Then: then, Source: of.Source, Adjustable: of.Adjustable, Unverified: unverified, Soft: of.Grows,
	})
}

// invoke bills a function: so many invocations of a month, of so long, with so much memory.
func (p *Plan) invoke(what string, prices price.List, times, seconds float64, megabytes int) {
	p.bill(what, prices.Prices.Invocation, times)
	p.bill(what, prices.Prices.FunctionSecond, times*seconds*float64(megabytes)/1024)
	p.bill("logs of functions", prices.Prices.GigabyteLogged, times*prices.Measures.InvocationLogBytes.Value/gigabyte)
}

const gigabyte = 1 << 30

// connected bills what connections are and bring.
func (p *Plan) connected(l Load, prices price.List) {
	p.bill("minutes of connections", prices.Prices.ConnectionMinute, float64(l.Dashboards)*l.open()/60)
	p.bill("updates to dashboards", prices.Prices.GigabyteOut, p.BytesOut/gigabyte)
}

// batches is how many batches a second Lambda makes of a stream's records, which come in so many polls of its shards.
func batches(records, cadence float64, prices price.List) float64 {
	polls := prices.Measures.StreamShards.Value * prices.Limits.StreamPolls.Value
	if cadence > 0 {
		// All at once: full batches, and one of each shard at least.
		together := records * cadence
		return min(max(together/streamBatch, min(together, prices.Measures.StreamShards.Value)), together) / cadence
	}
	return polls * (1 - math.Exp(-records/polls))
}

// entityTypes are the shares of the entity types among the simulator's entities: scripts/simulate/world.go.
var entityTypes = []float64{0.60, 0.25, 0.10, 0.05}

// anyOf is the chance that at least one of n things is of a kind of which there is a share.
func anyOf(share, n float64) float64 { return 1 - math.Pow(1-share, n) }

// distinct is how many different ones of so many entities n updates are of.
func distinct(n, entities float64) float64 {
	if n <= 0 {
		return 0
	}
	return entities * (1 - math.Exp(-n/entities))
}

func seconds(d time.Duration) float64 { return d.Seconds() }
