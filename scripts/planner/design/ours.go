package design

import (
	"math"
	"strconv"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

// The rhythm of a page, in seconds: frontend/src/live/timing.ts.
const (
	quiet      = 20 // without a word, on average
	regular    = 55 // from one sync to the next, on average
	syncsFirst = 2  // at once on a new connection, and once more after 5 s
	movesAfter = 11.0 / 12
	comesBack  = 4.5 // the time in which those come back whom an outage has thrown out
)

// What the state table is: services/internal/state, and contracts/digest.go.
const (
	partitions    = 8 // of a tenant and type
	insightDays   = 4
	insightRows   = 10_000 // that are read at most
	insightLimit  = 2_000  // of them that count at most, found within a day
	digestSlices  = 64     // parts of a digest: a snapshot has those that differ
	streamBatch   = 100    // infra/topology
	parallel      = 32     // writes of the normalizer under way
	readAge       = 1.0    // seconds for which a read answers others whose digest is the same
	minutesOfADay = 24 * 60
)

// Units of DynamoDB that a connection costs, and a sync: services/internal/registry/dynamoregistry, and those of tickets and
// summaries. What a transaction writes counts twice.
const (
	ticketWrites  = 3     // counted, issued, redeemed
	openWrites    = 2 * 5 // meta item, view, subject, session, and the list of the subject's connections
	firstWrites   = 2 * 2 // of the first sync: meta item and view
	closeWrites   = 4     // tombstone, and the others deleted
	connectWrites = ticketWrites + openWrites + firstWrites + closeWrites
	connectReads  = 3 // the list, and two revocations
	syncWrites    = 1 // the meta item
	syncReads     = 3 // the meta item, and the summary twice
	turnWrites    = 2 // to say that one reads, and what was found
)

// ours is this system.
func ours(l Load, prices price.List) Plan {
	m := prices.Measures
	s := systemOf(l)
	n, open := float64(l.Dashboards), l.open()
	f := fanOut(l, s, n, prices)
	idle := fanOut(l, s, 0, prices) // while no dashboard is open
	y := synchronise(l, f, prices)
	connects := n * y.connects

	p := Plan{
		PerFrame: f.updates / f.frames, FrameEvery: 1 / f.frames, Sweep: f.sweep, Shown: f.shown, Tasks: f.tasks,
		SyncEvery: y.every, SyncUnits: y.units, Confirmed: y.confirmed, Connects: connects * open,
	}
	frames := n * f.frames * open
	p.Messages = frames + y.answers*open
	p.Commands = y.syncs * open
	metricsShare := l.metricsShare()
	p.BytesOut = frames*m.FrameBytes.Value + y.bytes*open +
		n*f.updates*open*(metricsShare*fragment(l, prices)+(1-metricsShare)*m.InsightBytes.Value)
	p.StateWrites = l.events() * month
	p.StateReads = y.reads * y.units * open
	p.Audiences = f.rounds*open + idle.rounds*(month-open)
	units := audience(n, m.WatcherRowBytes.Value, f.types)
	p.Registry.Reads = f.rounds*open*units/float64(l.Shards) + idle.rounds*(month-open)*audience(0, 0, idle.types)/float64(l.Shards) +
		y.syncs*open*syncReads + p.Connects*connectReads
	p.Registry.Writes = y.syncs*open*syncWrites + y.turns*open*turnWrites + p.Connects*connectWrites

	s.bill(&p, l, prices, f, idle, y)
	s.limit(&p, l, prices, f, y)
	return p
}

// sync is what the heartbeats of all dashboards are, a second.
type syncs struct {
	every     float64 // seconds, of a dashboard
	connects  float64 // of a dashboard
	syncs     float64
	confirmed float64 // share that SYNCED answers
	answers   float64 // frames
	bytes     float64
	reads     float64 // of the state table, for all types
	turns     float64 // of those, which others are told of
	units     float64 // read units of one
	hottest   float64 // of them from one partition
	rows      float64 // that one reads
}

// synchronise works out what the syncs ask for. A sync whose digest is not that of the table is answered by the slices
// that differ; as many updates are on their way at any time, so many syncs are. Equal ones share reads, which are up to a
// second old.
func synchronise(l Load, f fanout, prices price.List) syncs {
	m := prices.Measures
	n := float64(l.Dashboards)
	y := syncs{every: syncEvery(f.frames), connects: 1/(lifetime*movesAfter) + l.opens()}
	whole := n * l.opens() // a page that is loaded has no digest
	y.syncs = n * (1/y.every + syncsFirst*y.connects)
	heartbeats := y.syncs - whole
	onTheWay := l.events() * l.Views * m.TransitSeconds.Value
	same := math.Exp(-onTheWay)
	if c := seconds(l.Cadence); c > 0 {
		same = 1 - min(1, m.TransitSeconds.Value/c)
	}
	y.confirmed = heartbeats * same / y.syncs
	equal := heartbeats * same
	y.turns = heartbeats*(1-same) + equal/(1+equal*readAge)
	y.reads = whole + y.turns

	counted := min(l.Insights*minutesOfADay, insightLimit) * l.Views
	all := l.watched()*fragment(l, prices) + counted*m.InsightBytes.Value
	part := distinct(max(onTheWay/(1-same+1e-12), 1), digestSlices) / digestSlices * all
	framesOf := func(bytes float64) float64 { return max(1, math.Ceil(bytes/frameRoom)) }
	y.answers = whole*framesOf(all) + heartbeats*((1-same)*framesOf(part)+same) + n*y.connects // and a RECONNECT each
	y.bytes = whole*all + heartbeats*(1-same)*part + y.answers*m.FrameBytes.Value

	found := min(l.Insights*minutesOfADay*insightDays, insightRows)
	inPartition := func(rows, bytes float64) float64 { return max(1, math.Ceil(rows*bytes/partitions/unitBytes)) }
	y.hottest = inPartition(found, m.InsightRowBytes.Value)
	y.units = partitions * y.hottest
	for _, share := range entityTypes {
		one := inPartition(share*float64(l.Entities), m.StateRowBytes.Value)
		y.units += partitions * one
		y.hottest = max(y.hottest, one)
	}
	y.rows = float64(l.Entities) + found
	return y
}

// syncEvery is how often a page synchronises that hears so many frames a second: at the latest after a minute, or so, and
// earlier where it hears nothing for 20 s. Frames come at random. How long it takes until such a pause is that of a
// pedestrian until a gap lets him cross, (exp(20 f) - 1) / f on average (J. C. Tanner, "The delay to pedestrians crossing a
// road", 1951), and what is beyond the 20 s of the pause itself is taken as exponential.
func syncEvery(frames float64) float64 {
	switch {
	case frames < 1e-9:
		return quiet
	case frames > 1:
		return regular
	}
	beyond := math.Expm1(frames*quiet)/frames - quiet
	return quiet - beyond*math.Expm1(-(regular-quiet)/beyond)
}

func (s system) bill(p *Plan, l Load, prices price.List, f, idle fanout, y syncs) {
	m, of := prices.Measures, prices.Prices
	open, shards := l.open(), float64(l.Shards)
	p.bill("frames to dashboards", of.Message, p.Messages)
	p.bill("syncs", of.Message, p.Commands)
	p.bill("tickets", of.HTTPRequest, p.Connects)
	p.connected(l, prices)
	p.bill("writes of the state table", of.WriteUnit, p.StateWrites)
	p.bill("syncs' reads of the state table", of.ReadUnit, p.StateReads)
	p.bill("reads of the registry", of.ReadUnit, p.Registry.Reads)
	p.bill("writes of the registry", of.WriteUnit, p.Registry.Writes)
	p.bill("events", of.Publish, l.events()*month)

	small := m.SmallSeconds.Value
	cadence := seconds(l.Cadence)
	p.invoke("normalizer", prices, (batches(l.metrics(), cadence, prices)+batches(l.insights(), cadence, prices))*month, m.BatchSeconds.Value, s.memoryOf("normalizer"))
	p.invoke("sync", prices, p.Commands, small+y.reads/y.syncs*m.RowsSeconds.Value*y.rows/1000, s.memoryOf("sync"))
	p.invoke("tickets, authorize, connect, disconnect", prices, 4*p.Connects, small, s.memoryOf("connect"))

	const sampled = 100 // values of a metric that a flush tells
	logged := func(posts float64) float64 { return m.BatchLogBytes.Value + m.PostLogBytes.Value*min(posts, sampled) }
	const idlePolls = 0.25          // a second: five pollers of Lambda, or two of ours, wait for up to 20 s
	requests := l.events() * shards // what SNS brings
	if l.Worker {
		received := min(l.events(), f.tasks*receivers/m.ReadSeconds.Value) * shards
		p.bill("deliveries, receives, deletions", of.QueueRequest, (requests+received+idlePolls*shards)*month+p.Audiences)
		tasks := shards * f.tasks * month / 3600
		p.bill("tasks", of.ProcessorHour, tasks*m.TaskProcessors.Value)
		p.bill("tasks' memory", of.MemoryHour, tasks*m.TaskGigabytes.Value)
		p.bill("tasks' addresses", of.AddressHour, tasks)
		const flush, line = 10, 300 // seconds from one to the next, and the bytes of a round's line
		p.bill("logs of tasks", of.GigabyteLogged, (shards*f.tasks*month/flush*logged(flush*float64(l.Dashboards)*f.frames/shards/f.tasks)+p.Audiences*line)/gigabyte)
	} else {
		p.bill("deliveries, receives, deletions", of.QueueRequest, (requests+idlePolls*shards)*month+2*p.Audiences)
		p.invoke("fanout", prices, p.Audiences, (f.rounds*f.each*open+idle.rounds*idle.each*(month-open))/p.Audiences, s.memory)
		p.bill("logs of functions", of.GigabyteLogged, (f.rounds*open*logged(float64(l.Dashboards)*f.frames/f.rounds)+idle.rounds*(month-open)*logged(0))/gigabyte)
	}
	p.bill("metrics", of.Metric, m.Metrics.Value)
	p.bill("alarms", of.Alarm, m.Alarms.Value)
}

func (s system) limit(p *Plan, l Load, prices price.List, f fanout, y syncs) {
	m, most := prices.Measures, prices.Limits
	n, shards := float64(l.Dashboards), float64(l.Shards)
	measured := func(value float64, unit, source string) price.Number {
		return price.Number{Value: value, Unit: unit, Origin: price.Origin{Source: source, Verified: true}}
	}
	if l.Worker {
		p.limit("posts of the tasks", measured(f.room, "posts a second: each task has a share of the account's, and "+strconv.Itoa(posters)+" in flight", "services/internal/config, infra/topology"),
			f.busy*f.room, "frames come less often and carry more; nothing is lost", m.PostSeconds)
	} else {
		p.limit("batches of the fanout", measured(f.room, "updates a second: "+strconv.Itoa(s.processes)+" functions of each shard take up to "+strconv.Itoa(s.batch)+" at a time", "infra/topology"),
			l.events(), "the queues grow, and what is shown is older and older: more shards, or tasks", m.PostSeconds)
	}
	soft := func() { p.Limits[len(p.Limits)-1].Soft = true }
	if l.Worker {
		soft()
	}
	p.limit("an update within a second", measured(1, "second until all have got it, besides what it takes to the queue", "README.md"),
		f.sweep, "what is shown is older than we promise", m.PostSeconds)
	p.limit("requests to API Gateway", most.Requests, f.wanted+y.syncs+y.answers+n*y.connects, "frames come less often and carry more; nothing is lost")
	soft()
	throttle := measured(float64(s.WebSocket.Throttle.Rate), "syncs and handshakes a second, which our own stage allows", "infra/topology")
	throttle.Adjustable = true
	p.limit("syncs", throttle, y.syncs+n*y.connects, "syncs are refused; pages that hear nothing say that they are stale")
	p.limit("new connections", most.Connects, n*y.connects, "handshakes are refused, and tried again")
	p.Return = max(comesBack, 2*n/throttle.Value, n/most.Connects.Value) // a handshake and a sync
	p.limit("reads of a state partition", most.PartitionReads, y.reads*y.hottest, "syncs fail, and are tried again; pages say that they are stale", m.TransitSeconds)
	p.limit("reads of the state table", most.TableReads, y.reads*y.units, "syncs fail until the table has grown", m.TransitSeconds)
	bucket := max(1, math.Ceil(n*m.WatcherRowBytes.Value/topology.Buckets/unitBytes))
	p.limit("reads of a bucket of the registry", most.PartitionReads, f.rounds/shards*bucket, "updates wait")
	p.limit("writes of the state table", most.TableWrites, l.events(), "updates wait until the table has grown")
	batch := m.BatchSeconds.Value + float64(streamBatch)/parallel*m.RoundSeconds.Value
	normalizer := measured(m.StreamShards.Value*streamBatch/batch, "records a second: a function for each of "+count(m.StreamShards.Value)+" shards takes 100 at a time", "infra/topology")
	p.limit("batches of the normalizer", normalizer, max(l.metrics(), l.insights()), "updates wait in the stream", m.StreamShards, m.BatchSeconds, m.RoundSeconds)
	p.limit("publishes", most.Publishes, l.events(), "updates wait")
	reading := m.SmallSeconds.Value*y.syncs + y.reads*m.RowsSeconds.Value*y.rows/1000
	running := reading + 4*n*y.connects*m.SmallSeconds.Value
	if !l.Worker {
		running += shards * float64(s.processes)
	}
	p.limit("functions at a time", most.Concurrency, running, "syncs are refused, and tried again", m.SmallSeconds)
}

// count writes a small number.
func count(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
