package design

import (
	"math"
	"strconv"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

// What services/fanout does, and is not in the topology.
const (
	posters   = 64           // FANOUT_POSTERS: posts in flight of a process
	receivers = 2            // receives under way of a worker
	receives  = 10           // messages that one brings at most
	frameRoom = 30_720 - 100 // contracts.MaxFrameBytes, without what is around the updates

	readsPerSweep = 4 // of services/fanout/tenant.go, as are these:
	minPause      = 0.02
	maxPause      = 0.25
)

// fanout is what the fanout makes of a load, in a second in which dashboards are open.
type fanout struct {
	rounds  float64 // of all processes: each is a read of the audience, and with Lambda a batch
	each    float64 // seconds that a batch takes
	types   float64 // of events in a round
	frames  float64 // to a dashboard
	updates float64 // that are in them
	wanted  float64 // posts to all, if there were no limit
	sweep   float64 // seconds until all dashboards have a round
	busy    float64 // share that is used of what it can work through
	room    float64 // updates a second, or posts of the worker, that it can
	shown   float64 // share of the updates that come, or are conflated
	tasks   float64 // of a shard, that run
}

// system is what the topology says of the fanout.
type system struct {
	topology.Topology
	rate      float64 // posts a second of each process
	processes int     // of a shard
	batch     int     // messages in one, of the function
	memory    int     // MB of it
}

func systemOf(l Load) system {
	s := system{Topology: topology.New(topology.Options{
		Shards: l.Shards, FanoutFunction: !l.Worker, Instances: l.Tasks, Auth: topology.AuthTicket,
	})}
	var environment map[string]topology.Ref
	if l.Worker {
		environment, s.processes = s.Workers[0].Environment, s.Workers[0].Instances
	} else {
		mapping := s.QueueMappings[0]
		f, _ := s.Function(mapping.Function)
		environment, s.processes, s.batch, s.memory = f.Environment, f.Concurrency, mapping.BatchSize, f.MemoryMB
	}
	s.rate, _ = strconv.ParseFloat(environment["FANOUT_RATE"].Name, 64) // the topology wrote it
	return s
}

// memoryOf is how much memory the function of a command has, in MB.
func (s system) memoryOf(command string) int {
	for _, f := range s.Functions {
		if f.Command == command {
			return f.MemoryMB
		}
	}
	return 0
}

// audience is how many read units one read of so many watchers takes: a query for each bucket of * and of each type, one
// unit for each 4 KB that is found, and one where nothing is. The watchers are those of everything.
func audience(watchers, rowBytes, types float64) float64 {
	return topology.Buckets * (max(1, math.Ceil(watchers*rowBytes/topology.Buckets/unitBytes)) + types)
}

// typesIn is how many types so many events are of: entity types, and insights.
func typesIn(l Load, events float64) float64 {
	metrics := l.metricsShare()
	types := anyOf(1-metrics, events)
	for _, share := range entityTypes {
		types += anyOf(share*metrics, events)
	}
	return types
}

// fanOut works out what becomes of a load with so many dashboards.
func fanOut(l Load, s system, dashboards float64, prices price.List) fanout {
	if !l.Worker {
		return fanOutByFunctions(l, s, dashboards, prices)
	}
	// More tasks are started while messages are late: infra/cdk/experience/fargate.go.
	f := fanOutByWorkers(l, s, 1, dashboards, prices)
	for f.sweep > late && f.tasks < float64(s.processes) {
		f = fanOutByWorkers(l, s, f.tasks+1, dashboards, prices)
	}
	return f
}

// late is the age of messages, in seconds, at which a task more is started.
const late = 5

// fanOutByFunctions: a batch has one message, until all environments are busy; then as many as came meanwhile, up to ten.
// Each reads the audience, and makes one post to each whose views match anything in it.
func fanOutByFunctions(l Load, s system, dashboards float64, prices price.List) fanout {
	m := prices.Measures
	shards, environments, most := float64(l.Shards), float64(s.processes), float64(s.batch)
	speed := min(s.rate, posters/m.PostSeconds.Value)
	watchers := dashboards / shards
	framesOf := func(events float64) float64 {
		return anyOf(l.Views*l.metricsShare(), events) + anyOf(l.Views*(1-l.metricsShare()), events)
	}
	work := func(events float64) float64 { return 2*m.ReadSeconds.Value + watchers*framesOf(events)/speed }
	need := func(events float64) float64 { return l.events() * work(events) / (environments * events) }

	least := 1.0
	if c := seconds(l.Cadence); c > 0 {
		least = min(max(l.events()*c, 1), most)
	}
	events := least
	if need(least) > 1 {
		low, high := least, most
		for range 50 {
			if events = (low + high) / 2; need(events) > 1 {
				low = events
			} else {
				high = events
			}
		}
		events = high
	}
	f := fanout{busy: need(most), each: work(events), types: typesIn(l, events), shown: min(1, 1/need(most))}
	f.room = l.events() / f.busy
	perShard := l.events() * f.shown / events
	f.rounds = shards * perShard
	f.frames = perShard * framesOf(events)
	f.updates = l.events() * l.Views * f.shown
	f.wanted = dashboards * f.frames / f.shown
	f.sweep = f.each
	if events > least {
		f.sweep *= 2 // it waits for the batch before, too
	}
	return f
}

// fanOutByWorkers: messages that come during a read share the next, and reads of a large audience are no more than four
// in the time in which all of it can be posted to. What comes while a connection has a post in flight, or while the rate
// is used up, goes into its next frame, each entity once.
func fanOutByWorkers(l Load, s system, tasks, dashboards float64, prices price.List) fanout {
	m := prices.Measures
	shards := float64(l.Shards)
	speed := min(s.rate, posters/m.PostSeconds.Value)
	watchers, events := dashboards/shards, l.events()/tasks
	between := m.ReadSeconds.Value
	if sweep := watchers / s.rate; sweep >= minPause {
		between = max(between, min(sweep/readsPerSweep, maxPause))
	}
	rounds := min(events, 1/between)
	drains := rounds // of a connection
	if c := seconds(l.Cadence); c > 0 {
		together := max(events*c, 1)
		lasts := together * m.ReadSeconds.Value / (receivers * receives)
		rounds = min(max(lasts/between, 1), together) / c
		drains = min(rounds, max(lasts*speed/max(watchers, 1), 1)/c)
	}
	rounds, drains = min(rounds, events), min(drains, events)

	metrics, insights := l.metrics()*l.Views/tasks, l.insights()*l.Views/tasks
	framesOfMetrics := drains * anyOf(l.Views*l.metricsShare(), events/drains)
	framesOfInsights := drains * anyOf(l.Views*(1-l.metricsShare()), events/drains)
	states := func(slow float64) float64 { // of entities, that reach a dashboard in a second
		frames := slow * framesOfMetrics
		if frames == 0 {
			return 0
		}
		return frames * distinct(metrics/frames, l.watched())
	}
	frames := func(slow float64) float64 {
		return max(slow*framesOfMetrics, states(slow)*fragment(l, prices)/frameRoom) +
			max(slow*framesOfInsights, insights*m.InsightBytes.Value/frameRoom)
	}
	f := fanout{types: typesIn(l, l.events()/tasks/rounds), shown: 1, room: speed * shards * tasks, tasks: tasks}
	f.wanted = dashboards * frames(1) * tasks
	f.busy = watchers * frames(1) / speed
	slow := 1.0
	if f.busy > 1 {
		low, high := 0.0, 1.0
		for range 60 {
			if slow = (low + high) / 2; watchers*frames(slow) > speed {
				high = slow
			} else {
				low = slow
			}
		}
		slow = low
	}
	f.rounds = rounds * shards * tasks
	f.frames = min(frames(slow), speed/max(watchers, 1e-9)) * tasks
	f.updates = (states(slow) + insights) * tasks
	// Once there is more than can be posted, a dashboard waits for its turn, as long as the rate makes its frames rarer.
	f.sweep = between + max(watchers*frames(1)/drains/speed, 1/frames(slow)-1/frames(1))
	return f
}
