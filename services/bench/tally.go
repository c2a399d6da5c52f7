package bench

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
)

const kinds = int(fault.Transient) + 1

// Tally counts posts by verdict and by time, in constant memory. It may be used concurrently.
type Tally struct {
	began   time.Time
	cpu     time.Duration
	cpuErr  error
	ok      atomic.Int64
	failed  [kinds]atomic.Int64
	buckets [buckets]atomic.Int64
	// Reads are those of the registry, of a variant that has one.
	Reads Reads
}

// NewTally returns a tally whose clock does not run yet.
func NewTally() *Tally { return &Tally{} }

// Begin starts the clocks, or starts them anew: a variant that has to prepare its posts calls it when
// it has done so.
func (t *Tally) Begin() {
	t.cpu, t.cpuErr = cpuTime()
	t.began = time.Now()
}

// Post counts one post that began at start and ends now, with the error that it has.
func (t *Tally) Post(start time.Time, err error) {
	t.buckets[bucket(time.Since(start))].Add(1)
	if err == nil {
		t.ok.Add(1)
		return
	}
	t.failed[fault.KindOf(err)].Add(1)
}

// result stops the clocks.
func (t *Tally) result() (Result, error) {
	wall := time.Since(t.began)
	cpu, err := cpuTime()
	if err == nil {
		err = t.cpuErr
	}
	r := Result{
		Verdicts: map[string]int64{}, Wall: wall.Seconds(), CPU: (cpu - t.cpu).Seconds(), PeakRSS: peakRSS(),
		P50: t.percentile(0.50), P99: t.percentile(0.99),
		Reads: t.Reads.audiences.Load(), Queries: t.Reads.queries.Load(), Rows: t.Reads.rows.Load(), ReadUnits: t.Reads.units.Load(),
	}
	count := func(name string, n int64) {
		if n > 0 {
			r.Verdicts[name] = n
			r.Posts += n
		}
	}
	count("ok", t.ok.Load())
	for k := range t.failed {
		count(fault.Kind(k).String(), t.failed[k].Load())
	}
	return r, err
}

// Times fall into buckets of microseconds that are at most 1/32 wide of what they hold.
const (
	fine    = 5 // bits
	buckets = 1024
)

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	shift := max(0, bits.Len64(us)-fine-1)
	return min(shift<<fine+int(us>>shift), buckets-1)
}

// lower is the least time of a bucket, in milliseconds.
func lower(i int) float64 {
	shift := max(0, i>>fine-1)
	return float64(uint64(i-shift<<fine)<<shift) / 1000
}

// percentile returns the time in milliseconds that this share of the posts did not exceed.
func (t *Tally) percentile(share float64) float64 {
	var all int64
	for i := range t.buckets {
		all += t.buckets[i].Load()
	}
	rest := int64(share * float64(all))
	for i := range t.buckets {
		if rest -= t.buckets[i].Load(); rest < 0 {
			return lower(i)
		}
	}
	return 0
}
