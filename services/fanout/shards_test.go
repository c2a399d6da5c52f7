package fanout

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/gateway/memgateway"
	"github.com/iops-dashboard/live/services/internal/queue/memqueue"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
)

// shards is a topic with up to four queues, each with a worker for its part of the audience.
type shards struct {
	t        *testing.T
	registry memregistry.Registry
	gateway  memgateway.Gateway
	queues   [4]*memqueue.Queue
	stop     func()
	served   int // queues that the topic delivers to
}

func newShards(t *testing.T, connections int) *shards {
	s := &shards{t: t}
	for i := range s.queues {
		s.queues[i] = memqueue.New(memqueue.Options{})
	}
	for i := range connections {
		id := fmt.Sprintf("c-%d=", i)
		c := registry.Connection{ID: id, Tenant: "default", ConnectedAt: time.Now().Add(-grown)}
		if err := s.registry.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		s.gateway.Open(id)
	}
	return s
}

// deploy replaces the workers by those of k shards after before.
func (s *shards) deploy(k, before int) {
	if s.stop != nil {
		s.stop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	s.served = max(k, before)
	for shard := range s.served {
		var buckets []int
		for b := range registry.Buckets {
			if b%k == shard || b%before == shard {
				buckets = append(buckets, b)
			}
		}
		w, err := NewWorker(Config{
			Queue: s.queues[shard], Registry: &s.registry, Gateway: &s.gateway, Log: slog.New(slog.DiscardHandler), Buckets: buckets,
		})
		if err != nil {
			s.t.Fatal(err)
		}
		workers.Go(func() {
			if err := w.Run(ctx); err != nil {
				s.t.Error(err)
			}
		})
	}
	s.stop = func() {
		cancel()
		workers.Wait()
	}
}

func (s *shards) publish(id string, revision int64) {
	for _, q := range s.queues[:max(s.served, 1)] {
		q.Send(encode(s.t, newEvent("default", id, revision)), nil)
	}
}

func TestEverybodyGetsEverythingOnceWhateverTheShards(t *testing.T) {
	t.Parallel()
	for _, k := range []int{1, 2, 3, 4} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newShards(t, 100)
				s.deploy(k, k)
				for n := range 20 {
					s.publish(fmt.Sprint("stu_", n), 1)
				}
				pass(time.Second)
				s.stop()
				for i := range 100 {
					id := fmt.Sprintf("c-%d=", i)
					seen := map[string]int{}
					for _, f := range s.gateway.Frames(id) {
						for _, u := range read(t, f) {
							seen[u.EntityID]++
						}
					}
					for n := range 20 {
						if got := seen[fmt.Sprint("stu_", n)]; got != 1 {
							t.Fatalf("%s got stu_%d %d times", id, n, got)
						}
					}
				}
			})
		})
	}
}

// The number of shards changes 1 → 4 → 1, with a backlog and under load: nothing is lost, and nothing
// is left behind in a queue that is no longer fed.
func TestShardsChangeUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const connections = 60
		s := newShards(t, connections)
		newest := map[string]int64{}
		load := func(updates int) {
			for n := range updates {
				id := fmt.Sprint("stu_", n%37)
				newest[id]++
				s.publish(id, newest[id])
				if n%10 == 0 {
					pass(10 * time.Millisecond)
				}
			}
		}
		s.deploy(1, 1)
		load(200)
		s.stop()
		s.stop = nil
		load(200) // nobody works: a backlog
		s.deploy(4, 1)
		load(200)
		s.deploy(4, 4)
		load(200)
		s.stop()
		s.stop = nil
		load(200)
		s.deploy(1, 4)
		load(200)
		pass(time.Minute)
		s.deploy(1, 1)
		load(50)
		pass(time.Minute)
		s.stop()
		for i, q := range s.queues {
			if n := len(q.Waiting()) + len(q.Dead()); n > 0 {
				t.Errorf("%d messages are left in queue %d", n, i)
			}
		}
		for i := range connections {
			id := fmt.Sprintf("c-%d=", i)
			shown, err := show(s.gateway.Frames(id))
			if err != nil {
				t.Fatal(err)
			}
			for entity, revision := range newest {
				if got := shown[entity].version.Revision; got != revision {
					t.Fatalf("%s shows %s at %d, want %d", id, entity, got, revision)
				}
			}
		}
	})
}

// function is a Function between fakes.
func function(t *testing.T, change func(*Config)) (*Function, *rig) {
	r := newRig(t, change)
	c := r.worker.Config
	f, err := NewFunction(c)
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// batchOf is what Lambda hands over.
func batchOf(bodies ...string) events.SQSEvent {
	var all events.SQSEvent
	for i, body := range bodies {
		kind := "METRIC_UPDATE"
		all.Records = append(all.Records, events.SQSMessage{
			MessageId: fmt.Sprint("m", i), ReceiptHandle: fmt.Sprint("r", i), Body: body,
			Attributes:        map[string]string{"ApproximateReceiveCount": "2", "SentTimestamp": "1795341600000"},
			MessageAttributes: map[string]events.SQSMessageAttribute{"type": {DataType: "String", StringValue: &kind}},
		})
	}
	return all
}

func failures(t *testing.T, f *Function, ctx context.Context, event events.SQSEvent) []string {
	t.Helper()
	response, err := f.Handle(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, failure := range response.BatchItemFailures {
		all = append(all, failure.ItemIdentifier)
	}
	slices.Sort(all)
	return all
}

func TestFunctionNamesWhatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := function(t, nil)
		r.connect("default", "a", grown)
		r.connect("acme", "b", grown)
		var broken = true
		r.registry.OnPage = func(_ context.Context, tenant string, _ int) error {
			if tenant == "acme" && broken {
				return failure(0)
			}
			return nil
		}
		event := batchOf(encode(t, newEvent("default", "stu_1", 1)), encode(t, newEvent("acme", "stu_1", 1)), "not JSON")
		if got := failures(t, f, t.Context(), event); !slices.Equal(got, []string{"m1"}) {
			t.Errorf("failed: %v", got)
		}
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(0, 1)
		broken = false
		event.Records = event.Records[1:2]
		if got := failures(t, f, t.Context(), event); got != nil {
			t.Errorf("failed: %v", got)
		}
		r.wantFrames("b", "stu_1@1")
	})
}

// Whoever cannot be served in time fails its message, and the answer still comes in time.
func TestFunctionAnswersInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := function(t, nil)
		r.connect("default", "new", 0)
		r.gateway.Close("new")
		r.connect("acme", "b", grown)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		got := failures(t, f, ctx, batchOf(encode(t, newEvent("default", "stu_1", 1)), encode(t, newEvent("acme", "stu_1", 1))))
		if took := time.Since(begin); took > 4100*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
		if !slices.Equal(got, []string{"m0"}) {
			t.Errorf("failed: %v", got)
		}
		r.wantFrames("b", "stu_1@1")
	})
}

// A connection that is slow in one batch is marked, and fails nothing.
func TestFunctionMarksTheSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := function(t, nil)
		r.connect("default", "a", grown)
		release := r.gateway.Hold("a")
		if got := failures(t, f, t.Context(), batchOf(encode(t, newEvent("default", "stu_1", 1)))); got != nil {
			t.Errorf("failed: %v", got)
		}
		if !r.marked("default", "a") {
			t.Error("not marked")
		}
		release()
		if got := failures(t, f, t.Context(), batchOf(encode(t, newEvent("default", "stu_2", 1)))); got != nil {
			t.Errorf("failed: %v", got)
		}
		if got := r.frames("a"); !strings.HasPrefix(got, "RESYNC | stu_2@1") {
			t.Errorf("a got %s", got)
		}
	})
}

func TestFunctionReadsWhatLambdaReceived(t *testing.T) {
	t.Parallel()
	m := messagesOf(batchOf("{}"))[0]
	if m.ID != "m0" || m.Receipt != "r0" || m.ReceiveCount != 2 || !m.SentAt.Equal(time.UnixMilli(1795341600000)) ||
		m.Attributes["type"].Value != contracts.MetricUpdateV1Type || m.Attributes["type"].Type != "String" {
		t.Errorf("%+v", m)
	}
}
