package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// posts is a gateway and a client that counts what it is sent.
type posts struct {
	mu   sync.Mutex
	to   map[string]int
	fail error
}

func (p *posts) Post(ctx context.Context, id string, f *gateway.Frame, _ time.Duration) error {
	return p.send(ctx, id, f.Text())
}

func (p *posts) send(ctx context.Context, id string, _ []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to == nil {
		p.to = map[string]int{}
	}
	p.to[id]++
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return p.fail
}

func TestVariantsPostToEveryConnection(t *testing.T) {
	t.Parallel()
	w := Workload{Endpoint: "http://stub", Connections: 30, Updates: 25, Entities: 10, PerFrame: 1, Pool: 4}
	for name, tc := range map[string]struct {
		variant func(*posts) Variant
		each    int
	}{
		"plain":      {func(p *posts) Variant { return Plain{Send: p.send} }, 25},
		"pooled":     {func(p *posts) Variant { return Pooled{Gateway: p, Pool: 4, PerFrame: 1} }, 25},
		"in batches": {func(p *posts) Variant { return Pooled{Gateway: p, Pool: 4, PerFrame: 10, Timeout: time.Minute} }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &posts{fail: fault.New("post", fault.Throttled, nil)}
			r, err := Measure(t.Context(), tc.variant(p), w)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.to) != 30 || r.Posts != int64(30*tc.each) || r.Verdicts["throttled"] != r.Posts {
				t.Errorf("%d connections, %d posts, %v; want 30 and %d for each, throttled", len(p.to), r.Posts, r.Verdicts, tc.each)
			}
			if r.Released != 25 || r.Final["sub_0005"] != firstRevision+2 || r.Final["sub_0006"] != firstRevision+1 || len(r.Final) != 10 {
				t.Errorf("released %d, final %v", r.Released, r.Final)
			}
		})
	}
}

func TestMeasureEndsInTime(t *testing.T) {
	t.Parallel()
	w := Workload{Endpoint: "http://stub", Connections: 1, Updates: 2, Entities: 1, PerFrame: 1, Pool: 1, Rate: 0.001, TimeLimitMS: 1}
	r, err := Measure(t.Context(), Pooled{Gateway: &posts{}, Pool: 1, PerFrame: 1}, w)
	if err != nil || !r.Interrupted || r.Final["sub_0001"] != firstRevision+1 {
		t.Errorf("%+v, %v; want an interrupted run that tells what it owed", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, Pooled{Gateway: &posts{}, Pool: 1, PerFrame: 1}, w); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the run to fail when it is stopped", err)
	}
}

func TestWorkloadReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := Workload{}.Check()
	for _, name := range []string{"connections", "updates", "entities", "per_frame", "pool", "endpoint"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not tell of %s", err, name)
		}
	}
}

func TestFramesAreLikeOurs(t *testing.T) {
	t.Parallel()
	u := Update{Entity: 3, Revision: 12, Written: time.Now()}
	one := Frame(u)
	if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, one); err != nil {
		t.Error(err)
	}
	if len(one) < 463 || len(one) > 600 {
		t.Errorf("an update takes %d bytes, want about 463 to 560:\n%s", len(one), one)
	}
	ten := Frame(u, u, u, u, u, u, u, u, u, u)
	if err := contracts.ValidateProducer(contracts.KindMetricUpdateFrameV1, ten); err != nil {
		t.Error(err)
	}
}

func TestConnectionIDsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range connectionIDs(100_000) {
		if len(id) != 16 || !strings.HasSuffix(id, "=") || seen[id] {
			t.Fatalf("%q is not an id, or there twice", id)
		}
		seen[id] = true
	}
}

func TestBucketsTellTimesWithinAThirtySecond(t *testing.T) {
	t.Parallel()
	for _, us := range []int64{0, 1, 31, 63, 64, 65, 127, 128, 1000, 4095, 4096, 1_000_000, 59_999_999} {
		low := lower(bucket(time.Duration(us)*time.Microsecond)) * 1000
		if low > float64(us) || low < float64(us)*31/32-1 {
			t.Errorf("%d µs are told as %g", us, low)
		}
	}
	if got := bucket(1 << 62); got != buckets-1 {
		t.Errorf("what is too long goes to bucket %d", got)
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	if got := tally.percentile(0.99); got != 0 {
		t.Errorf("p99 of nothing is %g", got)
	}
	for n := range 100 {
		tally.buckets[bucket(time.Duration(n)*time.Millisecond)].Add(1)
	}
	if got := tally.percentile(0.5); got < 48 || got > 50 {
		t.Errorf("p50 is %g", got)
	}
}
