package redrive_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// No second has more than a tenth too much, wherever it begins.
func TestRateCap(t *testing.T) {
	for _, rate := range []float64{1, 7, 50, 120, 500} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				n := int(rate * 5)
				r.put(n)
				var times []time.Time
				r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
					for range entries {
						times = append(times, time.Now())
					}
					if len(times)%3 == 0 {
						pass(time.Second / 2) // a slow answer is not made up for
					}
					return nil, nil
				}
				if result := r.must("run", func(p *redrive.Plan) { p.Rate = rate }); result.Deleted != n {
					t.Fatalf("%+v", result)
				}
				for i, first := range times {
					count := 0
					for _, at := range times[i:] {
						if at.Sub(first) < time.Second {
							count++
						}
					}
					if float64(count) > rate*1.1 {
						t.Fatalf("%d messages in a second", count)
					}
				}
			})
		})
	}
}

func TestFullRateIsReached(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(500)
		begin := time.Now()
		r.must("run", func(p *redrive.Plan) { p.Rate = 50 })
		if took := time.Since(begin); took > 13*time.Second { // ten, and two to see that the queue is empty
			t.Errorf("took %v", took)
		}
	})
}

func TestBreakerStopsAnOutage(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(500)
		calls := 0
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { calls++; return nil, errors.New("planted") }
		begin := time.Now()
		var pauses []string
		result := r.must("run", func(p *redrive.Plan) {
			p.Progress = func(p redrive.Progress) {
				if p.Pause != "" {
					pauses = append(pauses, p.Pause)
				}
			}
		})
		if took := time.Since(begin); calls != 4 || took < 70*time.Second || took > 80*time.Second || len(pauses) != 3 {
			t.Errorf("%d calls in %v, %v", calls, took, pauses)
		}
		if !strings.Contains(result.Why, "failed") || result.Sent != 0 {
			t.Errorf("%+v", result)
		}
		r.visible(500)
	})
}

func TestBreakerWaitsForAnOutageToEnd(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(300)
		begin := time.Now()
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) {
			if d := time.Since(begin); d < 15*time.Second {
				return nil, errors.New("planted")
			}
			return nil, nil
		}
		if result := r.must("run", nil); result.Deleted != 300 || result.Why != "" {
			t.Errorf("%+v", result)
		}
		r.atTarget(300)
	})
}

func TestBreakerStopsWhenTheQueueGrows(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(2000)
		stop := make(chan struct{})
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					r.source.Put(redrive.Entry{Body: fmt.Sprint("new-", i)})
				}
			}
		}()
		result := r.must("run", func(p *redrive.Plan) { p.Rate = 20 })
		close(stop)
		if !strings.Contains(result.Why, "grew") {
			t.Errorf("%+v", result)
		}
	})
}
