package redrive_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// One receipt that does not work any more is no reason to lose hold of the nine others.
func TestOneBadReceiptLosesOneMessage(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(9)
		bad := r.source.Put(redrive.Entry{Body: "bad"})
		r.source.OnHide = func(messages []redrive.Message, d time.Duration) (map[string]redrive.Failure, error) {
			if slices.ContainsFunc(messages, func(m redrive.Message) bool { return m.ID == bad }) && d > 0 {
				return map[string]redrive.Failure{bad: {Code: "ReceiptHandleIsInvalid", Sender: true}}, nil
			}
			return nil, nil
		}
		refused := false
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			if entries[0].Body == "bad" && !refused { // so it is sent after all others
				refused = true
				return map[int]redrive.Failure{0: {Code: "Planted"}}, nil
			}
			return nil, nil
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if result := r.must("run", func(p *redrive.Plan) { p.Rate, p.Hold = 0.25, 20*time.Second }); result.Deleted != 10 || result.Left != 0 {
				t.Errorf("%+v", result)
			}
		}()
		for open := true; open; {
			select {
			case <-done:
				open = false
			case <-time.After(time.Second):
			}
			for _, m := range r.source.All() {
				if m.ReceiveCount > 1 && m.ID != bad {
					t.Fatalf("%s was received %d times", m.Body, m.ReceiveCount)
				}
			}
		}
		r.atTarget(10)
	})
}

// What a run lost hold of comes again, and it waits for it, also at the end: nothing is left without a word.
func TestWhatIsLostIsReceivedAgain(t *testing.T) {
	for name, limit := range map[string]int{"all": 0, "as many as wanted": 10} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				r.put(10)
				r.source.OnHide = func([]redrive.Message, time.Duration) (map[string]redrive.Failure, error) {
					return nil, errors.New("planted")
				}
				var sent time.Time
				r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { sent = time.Now(); return nil, nil }
				result := r.must("run", func(p *redrive.Plan) { p.Rate, p.Hold, p.Limit = 0.5, 20*time.Second, limit })
				if after := time.Since(sent); after > 10*time.Second {
					t.Errorf("it waited for %v when all had come", after)
				}
				if result != (redrive.Result{Matched: 10, Sent: 10, Entries: 10, Deleted: 10}) {
					t.Errorf("%+v", result)
				}
				r.atTarget(10)
			})
		})
	}
}

// What comes too late to be sent and confirmed in its time is not sent: somebody else may have it by then.
func TestNothingIsSentAtTheLastMoment(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(40)
		received := map[string]time.Time{}
		r.source.OnHide = func([]redrive.Message, time.Duration) (map[string]redrive.Failure, error) {
			return nil, errors.New("planted")
		}
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			for _, e := range entries {
				if d := time.Since(received[e.Body]); d > 15*time.Second {
					t.Errorf("%s is sent %v after it was received for 20 seconds", e.Body, d)
				}
			}
			return nil, nil
		}
		r.must("run", func(p *redrive.Plan) {
			p.Rate, p.Hold = 0.5, 20*time.Second
			p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
				received[m.Body] = time.Now()
				return redrive.Decision{Fate: redrive.Replay}, nil
			}
		})
		r.atTarget(40)
	})
}

// Somebody else took what this run lost hold of: it does not wait for ever, and says that it did not bring it back.
func TestWhatSomebodyElseTook(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(5)
		lost := errors.New("planted")
		r.source.OnHide = func([]redrive.Message, time.Duration) (map[string]redrive.Failure, error) { return nil, lost }
		sent := 0
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) {
			if sent++; sent == 2 { // as slow as the hold
				pass(19 * time.Second)
				for _, m := range r.source.All() {
					if m.ReceiveCount > 0 {
						_, _ = r.source.Delete(t.Context(), []redrive.Message{m})
					}
				}
			}
			return nil, nil
		}
		begin := time.Now()
		result := r.must("run", func(p *redrive.Plan) { p.Rate, p.Hold = 1, 20*time.Second })
		if result.Left != 3 || result.Sent != 2 || time.Since(begin) > time.Minute {
			t.Errorf("%+v after %v", result, time.Since(begin))
		}
	})
}

// ctrl-C while messages are on their way: they are returned, and nothing is said against them.
func TestInterruptWhileReceiving(t *testing.T) {
	for name, where := range map[string]string{"receive": "receive", "decide": "decide"} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				r.put(25)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r.source.OnReceive = func() error {
					if where == "receive" {
						cancel()
					}
					return nil
				}
				decided := 0
				result, err := r.do(ctx, "run", func(p *redrive.Plan) {
					p.Decide = func(ctx context.Context, _ redrive.Message) (redrive.Decision, error) {
						decided++
						if where == "decide" {
							cancel()
						}
						return redrive.Decision{Fate: redrive.Keep, Why: "never"}, ctx.Err()
					}
				})
				if err != nil || result != (redrive.Result{Why: "interrupted"}) || where == "receive" && decided > 0 {
					t.Errorf("%+v, %v, decided %d times", result, err, decided)
				}
				r.visible(25)
			})
		})
	}
}
