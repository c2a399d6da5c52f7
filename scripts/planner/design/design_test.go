package design

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/planner/price"
)

func read(t *testing.T) price.List {
	t.Helper()
	prices, err := price.Read()
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > part*math.Abs(want) {
		t.Errorf("%s: %g, want %g", what, got, want)
	}
}

// item is what a plan bills by that name.
func item(p Plan, what, unit string) Item {
	for _, c := range p.Costs {
		for _, i := range c.Items {
			if i.What == what && strings.Contains(i.Unit, unit) {
				return i
			}
		}
	}
	return Item{}
}

// What scripts/bench/fanout measured, as services/fanout/README.md has it: read units, and posts, for an update of one
// entity type to connections that have said nothing.
func TestMeasured(t *testing.T) {
	t.Parallel()
	prices := read(t)
	prices.Measures.PostSeconds.Value = 0.005 // of the bench's stub
	// The item of such a connection, as services/bench counts it, with 1.4 digits of a bucket.
	const silent = 1.4 + float64(2+len("view#default#*#")+2+16+len("tenant")+len("default")+len("connected_at")+8+len("expires_at")+6+len("views")+1)
	for _, tc := range []struct {
		rate, connections, units, posts float64
	}{
		{8, 10, 32, 10},
		{8, 10_000, 126, 1286},
		{100, 10_000, 10, 102},
	} {
		l := Default()
		l.Updates, l.Insights, l.Entities = 60*tc.rate, 0, 100
		f := fanOutByWorkers(l, system{rate: 10_000, processes: 1}, 1, tc.connections, prices)
		name := strconv.Itoa(int(tc.rate)) + " a second to " + strconv.Itoa(int(tc.connections))
		near(t, "read units, "+name, f.rounds/tc.rate*audience(tc.connections, silent, 1), tc.units, 0.1)
		near(t, "posts, "+name, tc.connections*f.frames/tc.rate, tc.posts, 0.05)
	}
}

// One dashboard and one update a second, by hand.
func TestOneDashboard(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := Default()
	l.Dashboards, l.Updates, l.Insights, l.Opens = 1, 60, 0, 0
	p := Ours.Plan(l, prices)

	const month = 2_592_000
	moves := month / (110 * 60.0)
	syncs := month/55.0 + 2*moves
	near(t, "state writes", p.StateWrites, month, 1e-6)
	near(t, "reads of the audience", p.Audiences, month, 1e-6)
	// 16 buckets of *, and 16 of the one type; a sync reads 3 units, and a connection 3.
	near(t, "registry reads", p.Registry.Reads, 32*month+3*syncs+3*moves, 1e-6)
	near(t, "connections", p.Connects, moves, 1e-6)
	// A connection writes 3 units of tickets, 5 items and 2 items in transactions, and 4 when it ends; a sync 1, and 2 if it
	// reads for others, too.
	equal := syncs / month * math.Exp(-0.25)
	turns := syncs*(1-math.Exp(-0.25)) + month*equal/(1+equal)
	near(t, "registry writes", p.Registry.Writes, moves*(3+2*5+2*2+4)+syncs+2*turns, 1e-6)
	near(t, "syncs", p.Commands, syncs, 1e-6)
	// A frame of each update; SYNCED, or one frame of what differs, to each sync; RECONNECT to each connection.
	near(t, "messages", p.Messages, month+syncs+moves, 1e-6)
	near(t, "frames", 1/p.FrameEvery, 1, 1e-6)
	near(t, "updates in one", p.PerFrame, 1, 1e-6)
	// An update is on its way for 0.25 s.
	near(t, "confirmed", p.Confirmed, math.Exp(-0.25), 1e-6)
	// 1,000 entities of 370 bytes in 8 partitions of each type: 7, 3, 2 and 1 units; 8 of no insights.
	near(t, "state reads", p.StateReads, turns*8*(7+3+2+1+1), 1e-6)

	near(t, "frames' cost", item(p, "frames to dashboards", "message").USD, (month+syncs+moves)/1e6, 1e-6)
	near(t, "state writes' cost", item(p, "writes of the state table", "write unit").USD, month*0.625/1e6, 1e-6)
	near(t, "events' cost", item(p, "events", "publish").USD, month*0.5/1e6, 1e-6)
	near(t, "minutes' cost", item(p, "minutes of connections", "minute").USD, 43_200*0.25/1e6, 1e-6)
	near(t, "registry reads' cost", item(p, "reads of the registry", "read unit").USD, p.Registry.Reads*0.125/1e6, 1e-6)
	// A batch takes 2 × 10 ms and a 3,200th of a second, with half a GB.
	near(t, "fanout's GB-seconds", item(p, "fanout", "GB-second").Units, month*(0.02+1/3200.0)/2, 1e-6)
}

// Ten dashboards and an update a second, by hand.
func TestPlainAndPolling(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := Default()
	l.Dashboards, l.Updates, l.Insights, l.Opens = 10, 60, 0, 0

	p := Plain.Plan(l, prices)
	near(t, "plain: messages", p.Messages, 25_920_000, 1e-9)
	near(t, "plain: cost of messages", item(p, "messages to dashboards", "message").USD, 25.92, 1e-9)
	near(t, "plain: bytes", p.BytesOut, 25_920_000*(85+174+210), 1e-9)
	near(t, "plain: units", p.Registry.Reads, p.Audiences*0.5, 1e-9)
	near(t, "plain: GB-seconds", item(p, "posts", "GB-second").Units, 25_920_000*0.000951*1769/1024, 1e-9)
	if p.Shown != 1 {
		t.Errorf("plain: %v are shown of what it can post", p.Shown)
	}

	p = Polling.Plan(l, prices)
	// One page of 1,000 entities, and one of insights, each 5 s.
	near(t, "polling: requests", p.Commands, 2*10*518_400, 1e-9)
	// 1,000 rows of 250 bytes are 62 units, and 100 insights of 614 bytes 15, at half price.
	near(t, "polling: units", p.StateReads, 5_184_000*(62+15)*0.5, 1e-9)
	l.Gzip = true
	near(t, "polling: bytes, compressed", Polling.Plan(l, prices).BytesOut, p.BytesOut/10, 1e-9)
	near(t, "polling: bytes", p.BytesOut, 5_184_000*(1-math.Exp(-5))*(1000*384+100*600), 1e-9)
}

// What cannot be posted is not: the plain design loses it, ours conflates it, and none posts more than there may be.
func TestMoreThanCanBePosted(t *testing.T) {
	t.Parallel()
	prices := read(t)
	l := Default()
	l.Dashboards, l.Updates, l.Insights = 5000, 6000, 0 // half a million posts a second
	posts := func(p Plan) float64 { return float64(l.Dashboards) / p.FrameEvery }
	plain, ours := Plain.Plan(l, prices), Ours.Plan(l, prices)
	l.Worker = true
	tasks := Ours.Plan(l, prices)
	near(t, "plain: posts", posts(plain), 4/0.000951, 1e-9)
	near(t, "plain: shown", plain.Shown, 4/0.000951/500_000, 1e-9)
	if tasks.Shown != 1 || tasks.PerFrame < 10 || posts(tasks) > 9000 || tasks.Limits[0].Used < 1 {
		t.Errorf("tasks: %v shown, %v updates in a frame, %v posts a second, first %+v", tasks.Shown, tasks.PerFrame, posts(tasks), tasks.Limits[0])
	}
	// As many as fit into 30 KB, at 384 bytes each.
	near(t, "tasks: updates in a frame", tasks.PerFrame, 30_620/384.0, 1e-3)
	// Ten messages make a batch, and the queue grows all the same.
	near(t, "functions: updates in a frame", ours.PerFrame, 10, 1e-9)
	if ours.Shown >= 1 || posts(ours) > 9000 || ours.Limits[0].Name != "batches of the fanout" {
		t.Errorf("functions: %v shown, %v posts a second, first %+v", ours.Shown, posts(ours), ours.Limits[0])
	}
}

// Of what is to be posted more often than the rate allows, each entity is in a frame once. A task of four posts 2,250
// times a second, so each of 1,500 dashboards has its turn after 0.67 s: 67 updates of 1,000 entities.
func TestConflation(t *testing.T) {
	t.Parallel()
	l := Default()
	l.Dashboards, l.Updates, l.Insights, l.Worker = 1500, 6000, 0, true
	p := Ours.Plan(l, read(t))
	near(t, "seconds from frame to frame", p.FrameEvery, 1500/2250.0, 1e-6)
	near(t, "updates in one", p.PerFrame, 1000*(1-math.Exp(-100*1500/2250.0/1000)), 1e-6)
}

func loads() *rapid.Generator[Load] {
	return rapid.Custom(func(t *rapid.T) Load {
		power := func(label string, most float64) float64 {
			return math.Pow(10, rapid.Float64Range(0, most).Draw(t, label))
		}
		return Load{
			Dashboards: int(power("dashboards", 6)), Updates: power("updates", 6), Insights: rapid.SampledFrom([]float64{0, 1, 1000}).Draw(t, "insights"),
			Entities: int(power("entities", 6)), Views: 1 / power("views", 4), Fields: rapid.IntRange(0, Attributes).Draw(t, "fields"),
			Cadence: time.Duration(rapid.IntRange(0, 3600).Draw(t, "cadence")) * time.Second,
			Hours:   rapid.Float64Range(0.1, 24).Draw(t, "hours"), Opens: rapid.Float64Range(0, 100).Draw(t, "opens"),
			Poll:   time.Duration(rapid.IntRange(1, 600).Draw(t, "poll")) * time.Second,
			Shards: rapid.IntRange(1, 16).Draw(t, "shards"), Worker: rapid.Bool().Draw(t, "worker"), Tasks: rapid.IntRange(1, 8).Draw(t, "tasks"),
		}
	})
}

// No plan has a number that is none, and its costs add up.
func TestPlansAddUp(t *testing.T) {
	t.Parallel()
	prices := read(t)
	rapid.Check(t, func(t *rapid.T) {
		l := loads().Draw(t, "load")
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, d := range Designs {
			p := d.plan(l, prices)
			p.sum()
			v := reflect.ValueOf(p)
			for i := range v.NumField() {
				if f := v.Field(i); f.Kind() == reflect.Float64 && (math.IsNaN(f.Float()) || math.IsInf(f.Float(), 0) || f.Float() < 0) {
					t.Errorf("%s: %s is %v", d.Name, v.Type().Field(i).Name, f.Float())
				}
			}
			services, items := 0.0, 0.0
			for _, c := range p.Costs {
				services += c.USD
				for _, i := range c.Items {
					items += i.USD
				}
			}
			if math.Abs(services-p.Total) > 1e-6*p.Total || math.Abs(items-p.Total) > 1e-6*p.Total || !(p.Total > 0) {
				t.Errorf("%s: $%v in all, $%v of services, $%v of items", d.Name, p.Total, services, items)
			}
			if p.Shown <= 0 || p.Shown > 1+1e-12 || p.Confirmed < 0 || p.Confirmed > 1 {
				t.Errorf("%s: %v shown, %v confirmed", d.Name, p.Shown, p.Confirmed)
			}
			if posts := float64(l.Dashboards) / p.FrameEvery; d.Name != "polling" && posts > prices.Limits.Requests.Value*(1+1e-9) {
				t.Errorf("%s: %v posts a second", d.Name, posts)
			}
			for _, limit := range p.Limits {
				if math.IsNaN(limit.Used) || limit.Used < 0 || limit.Source == "" || limit.Then == "" {
					t.Errorf("%s: %+v", d.Name, limit)
				}
			}
			if _, err := json.Marshal(p); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
		}
	})
}

// More of anything makes no less of what it must.
func TestMoreMakesNoLess(t *testing.T) {
	t.Parallel()
	prices := read(t)
	// A page that hears a little less synchronises a little more often.
	const rounding = 1 - 1e-4
	rapid.Check(t, func(t *rapid.T) {
		l := loads().Draw(t, "load")
		factor := rapid.Float64Range(1, 100).Draw(t, "factor")
		for _, d := range Designs {
			before := d.plan(l, prices)
			no := func(what string, more func(*Load), of func(Plan) float64) {
				grown := l
				more(&grown)
				if after := d.plan(grown, prices); of(after) < of(before)*rounding {
					t.Errorf("%s, %s: %v, and with less %v", d.Name, what, of(after), of(before))
				}
			}
			no("minutes of dashboards", func(l *Load) { l.Dashboards = int(float64(l.Dashboards) * factor) }, func(p Plan) float64 { return p.Commands })
			no("bytes of dashboards", func(l *Load) { l.Dashboards = int(float64(l.Dashboards) * factor) }, func(p Plan) float64 { return p.Messages })
			no("writes of updates", func(l *Load) { l.Updates *= factor }, func(p Plan) float64 { return p.StateWrites })
			no("state reads of entities", func(l *Load) { l.Entities = int(float64(l.Entities) * factor) }, func(p Plan) float64 { return p.StateReads })
			no("bytes of fields", func(l *Load) { l.Fields = 0 }, func(p Plan) float64 { return p.BytesOut })
			no("messages of hours", func(l *Load) { l.Hours, l.Opens = min(24, l.Hours*factor), l.Opens*min(24, l.Hours*factor)/l.Hours }, func(p Plan) float64 { return p.Messages })
			no("connections of page loads", func(l *Load) { l.Opens *= factor }, func(p Plan) float64 { return p.Connects })
		}
	})
}

// As many dashboards as a limit names meet it, and one less does not.
func TestLimitsAreMetWhereTheySay(t *testing.T) {
	t.Parallel()
	prices := read(t)
	used := func(d Design, l Load, name string) float64 {
		for _, limit := range d.plan(l, prices).Limits {
			if limit.Name == name {
				return limit.Used
			}
		}
		return math.NaN()
	}
	for _, worker := range []bool{false, true} {
		for _, d := range Designs {
			l := Default()
			l.Worker = worker
			p := d.Plan(l, prices)
			first, ok := p.First()
			if !ok || first.Dashboards == 0 {
				t.Errorf("%s meets no limit, ever", d.Name)
			}
			if first.Soft || p.Exceeded() {
				t.Errorf("%s: the first limit is soft, or exceeded by the default load: %+v", d.Name, first)
			}
			for _, limit := range p.Limits {
				if limit.Dashboards == 0 {
					continue
				}
				if limit.Dashboards < first.Dashboards && !limit.Soft {
					t.Errorf("%s: %s is met by %d, before the first, %s by %d", d.Name, limit.Name, limit.Dashboards, first.Name, first.Dashboards)
				}
				l.Dashboards = limit.Dashboards
				at := used(d, l, limit.Name)
				l.Dashboards = limit.Dashboards*999/1000 - 1
				if before := used(d, l, limit.Name); at < 1 || before >= 1 {
					t.Errorf("%s: %s is to be met by %d dashboards: %v used, and %v by fewer", d.Name, limit.Name, limit.Dashboards, at, before)
				}
			}
		}
	}
}

// A page hears frames at random, and synchronises as frontend/src/live/link.ts has it.
func TestRhythm(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, every := range []float64{0.1, 1, 5, 8, 12, 20, 60, 1e9} {
		const count = 2000
		now, heard, syncs := 0.0, 0.0, 0
		sent := 0.0
		next := random.ExpFloat64() * every
		quietFor, regularFor := 15+10*random.Float64(), 50+10*random.Float64()
		for syncs < count {
			due := min(heard+quietFor, sent+regularFor)
			if next < due {
				now = next
				heard, quietFor = now, 15+10*random.Float64()
				next = now + random.ExpFloat64()*every
				continue
			}
			now = due // and answered at once, which is heard
			syncs++
			sent, heard = now, now
			quietFor, regularFor = 15+10*random.Float64(), 50+10*random.Float64()
		}
		near(t, "seconds between syncs, with a frame every "+strconv.FormatFloat(every, 'g', -1, 64)+" s", syncEvery(1/every), now/count, 0.12)
	}
}

// The bytes that are counted are those of the documents.
func TestBytes(t *testing.T) {
	t.Parallel()
	m := read(t).Measures
	attributes := `{"sessions_7d":3,"sessions_14d":6,"sessions_30d":11,"ib_calls_7d":0,"ib_calls_14d":1,"avg_rating":4.75,"health_score":82.5,` +
		`"churn_risk_14d":0.008,"last_updated":"2026-11-22T10:00:00.123Z","segment":"healthy"}`
	update := `{"entity_type":"student","entity_id":"stu_0042","operation":"UPSERT","version":{"epoch":1795000000000,"revision":1234},"attributes":` +
		attributes + `,"written_at":"2026-11-22T10:00:00.123Z"}`
	head := `{"type":"METRIC_UPDATE","version":1,"timestamp":"2026-11-22T10:00:00.789Z","data":[`
	if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, []byte(head+update+"]}")); err != nil {
		t.Fatal(err)
	}
	near(t, "an update", m.UpdateBytes.Value+Attributes*m.AttributeBytes.Value, float64(len(update)+1), 0.02)
	near(t, "the rest of a frame", m.FrameBytes.Value, float64(len(head)+2), 0.02)
	if strings.Count(attributes, `":`) != Attributes {
		t.Errorf("an entity has not %d attributes", Attributes)
	}
	state := len("pk") + len("default#student#3") + len("sk") + len("stu_0042") + len("image") + len(attributes) + len("revision") + 3 +
		len("label") + len("2026-11-22T10:00:00.000") + len("seq") + 40 + len("written_at") + len("2026-11-22T10:00:00.123Z")
	near(t, "a row of the state table", m.StateRowBytes.Value, float64(state), 0.1)
	watcher := len("pk") + len("view#default#*#11") + len("sk") + 16 + len("tenant") + len("default") + len("connected_at") + 8 + len("expires_at") + 6 +
		len("views") + len(`[{"entity_type":"*"}]`) + len("sync_id") + 2 + len("until") + 8 + len("contracts") + 3 + len("METRIC_UPDATE/1") + len("INSIGHT_CREATED/1") + 2
	near(t, "a row of the registry", m.WatcherRowBytes.Value, float64(watcher), 0.05)
}

// A page of a thousand students, as the simulator would have them, compressed.
func TestGzip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var page bytes.Buffer
	for i := range 1000 {
		written := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).Add(-time.Duration(random.IntN(120_000)) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
		fmt.Fprintf(&page, `{"entity_type":"student","entity_id":"stu_%04d","operation":"UPSERT","version":{"epoch":1795000000000,"revision":%d},"attributes":`+
			`{"sessions_7d":%d,"sessions_14d":%d,"sessions_30d":%d,"ib_calls_7d":%d,"ib_calls_14d":%d,"avg_rating":%.2f,"health_score":%.1f,"churn_risk_14d":%.3f,`+
			`"last_updated":"%[12]s","segment":"%[11]s"},"written_at":"%[12]s"},`, i, 1000+random.IntN(50), random.IntN(6), random.IntN(12), random.IntN(24), random.IntN(3), random.IntN(5),
			3+2*random.Float64(), 100*random.Float64(), random.Float64(), []string{"thriving", "healthy", "at_risk"}[random.IntN(3)], written)
	}
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	if _, err := z.Write(page.Bytes()); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	near(t, "ratio of gzip", read(t).Measures.GzipRatio.Value, float64(page.Len())/float64(small.Len()), 0.2)
}

// The defaults are those of a deployment, and what is taken from elsewhere is as it is there.
func TestDefaults(t *testing.T) {
	t.Parallel()
	l := Default()
	if l.Worker || l.Shards != 1 || l.Tasks != 4 || l.Validate() != nil {
		t.Errorf("%+v: %v", l, l.Validate())
	}
	for _, worker := range []bool{false, true} {
		l.Worker, l.Shards = worker, 3
		s := systemOf(l)
		if share := s.rate * float64(s.processes*l.Shards); share > topology.DefaultRate || share < 0.8*topology.DefaultRate {
			t.Errorf("%d processes of a shard post %v times a second each", s.processes, s.rate)
		}
		if !worker && (s.batch < 1 || s.memory < 128 || s.memoryOf("sync") < 128 || s.memoryOf("normalizer") < 128 || s.memoryOf("connect") < 128) {
			t.Errorf("of the topology: batches of %d messages, %d MB", s.batch, s.memory)
		}
	}
	s := systemOf(Default())
	for _, stream := range s.Streams {
		if stream.BatchSize != streamBatch {
			t.Errorf("a batch of %s has %d", stream.Table, stream.BatchSize)
		}
	}
	if contracts.MaxFrameBytes-frameRoom != 100 || contracts.InsightLimit != insightLimit || contracts.DigestSlices != digestSlices {
		t.Error("the contracts have other limits")
	}
}

// Nothing here imports services or the page: what is copied from there is as it is there.
func TestCopies(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string][]string{
		"services/fanout/tenant.go":                          {"readsPerSweep = 4\n", "maxReadPause = 250 * time.Millisecond", "minReadPause = 5 * time.Millisecond", "sweep < readsPerSweep*minReadPause"},
		"services/fanout/fanout.go":                          {"defaultTo(&c.Receivers, 2)"},
		"services/internal/config/config.go":                 {`env:"FANOUT_POSTERS" envDefault:"64"`},
		"services/internal/queue/queue.go":                   {"const MaxBatch = 10\n"},
		"services/internal/state/insight.go":                 {"insightDays = 4\n", "InsightRows = 5 * contracts.InsightLimit", "find 10,000 in ten hours", "costs about 1,500 read units"},
		"services/session/reads.go":                          {"readAge = time.Second\n"},
		"services/session/sync.go":                           {"c.Lifetime-max(c.Lifetime/12"},
		"services/normalizer/normalizer.go":                  {"c.Parallel = 32\n"},
		"services/fanout/README.md":                          {"| plain: a goroutine and a post per record and connection, default SDK client | 1,257, or 951 where", "32 to 126 read units", "$10 to $1,286"},
		"infra/topology/query.go":                            {"One for 1,000 entities takes 60 ms", "answers in 6 ms"},
		"infra/cdk/experience/fargate.go":                    {`taskCPU, taskMemory = "512", "1024"`, "late, veryLate = 5, 30"},
		"infra/cdk/setting/setting.go":                       {`{"shards", "1", `, `{"tasks", "4", `, `{"fanout", Lambda, `},
		"scripts/simulate/world.go":                          {"tutorShare   = 0.25", "subjectShare = 0.10", "regionShare  = 0.05"},
		"services/internal/state/dynamostate/dynamostate.go": {"const Partitions = 8\n"},
		"frontend/src/live/timing.ts": {
			"followUp: 5_000", "quiet: { minimum: 15_000, spread: 10_000 }", "regular: { minimum: 50_000, spread: 10_000 }", "comeback: { minimum: 500, spread: 4_500 }",
		},
	} {
		file, err := os.ReadFile(filepath.Join("..", "..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		}
		flat := strings.Join(strings.Fields(string(file)), " ")
		for _, text := range texts {
			if !strings.Contains(string(file), text) && !strings.Contains(flat, text) {
				t.Errorf("%s has not %q any more: the arithmetic may be wrong", name, text)
			}
		}
	}
}

// An alarm costs as much as the metrics that it watches.
func TestAlarmsAreCounted(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile(filepath.FromSlash("../../../infra/cdk/app/testdata/default/IOpsDashboard-WatchStack.json"))
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				Metrics []struct{ MetricStat map[string]any }
			}
		}
	}
	if err := json.Unmarshal(file, &template); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range template.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		watched := 0
		for _, m := range r.Properties.Metrics {
			if m.MetricStat != nil {
				watched++
			}
		}
		n += max(watched, 1)
	}
	prices, err := price.Read()
	if err != nil {
		t.Fatal(err)
	}
	if got := prices.Measures.Alarms.Value; got != float64(n) {
		t.Errorf("the price list has %v metrics that alarms watch, the template %d", got, n)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*Load){
		"--dashboards is 0":   func(l *Load) { l.Dashboards = 0 },
		"--updates is -1":     func(l *Load) { l.Updates = -1 },
		"--updates is NaN":    func(l *Load) { l.Updates = math.NaN() },
		"--insights is -2":    func(l *Load) { l.Insights = -2 },
		"--entities is 0":     func(l *Load) { l.Entities = 0 },
		"--views is 0%":       func(l *Load) { l.Views = 0 },
		"--views is 110%":     func(l *Load) { l.Views = 1.1 },
		"--fields is 11":      func(l *Load) { l.Fields = 11 },
		"--cadence is -1s":    func(l *Load) { l.Cadence = -time.Second },
		"--hours is 25":       func(l *Load) { l.Hours = 25 },
		"--opens is -1":       func(l *Load) { l.Opens = -1 },
		"--poll is 0s":        func(l *Load) { l.Poll = 0 },
		"--shards is 17":      func(l *Load) { l.Shards = 17 },
		"--tasks is 0":        func(l *Load) { l.Tasks = 0 },
		"there is nothing to": func(l *Load) { l.Updates, l.Insights = 0, 0 },
	} {
		l := Default()
		change(&l)
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	l := Default()
	l.Dashboards, l.Shards = -1, 99
	if err := l.Validate(); err == nil || strings.Count(err.Error(), "want") != 2 {
		t.Errorf("%v does not name both faults", err)
	}
}
