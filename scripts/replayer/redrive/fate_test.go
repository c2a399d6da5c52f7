package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// fated gives each message the fate that its body begins with, and the plan all sinks.
func (r *rig) fated(p *redrive.Plan) {
	p.Quarantine, p.Archive = r.quarantine, r.archive
	p.Quarantined = func(m redrive.Message, why string) (redrive.Entry, error) {
		if strings.HasSuffix(m.Body, "no form") {
			return redrive.Entry{}, errors.New("it has no form")
		}
		return redrive.Entry{Body: m.Body + " because " + why}, nil
	}
	p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
		fate, _, _ := strings.Cut(m.Body, " ")
		return redrive.Decision{Fate: map[string]redrive.Fate{
			"replay": redrive.Replay, "quarantine": redrive.Quarantine, "archive": redrive.Archive, "keep": redrive.Keep,
		}[fate], Why: "of " + fate}, nil
	}
}

func (r *rig) putFated() {
	for _, fate := range []string{"skip", "replay", "quarantine", "archive", "keep"} {
		for i := range 12 {
			r.source.Put(redrive.Entry{Body: fmt.Sprint(fate, " ", i), Attributes: map[string]redrive.Attribute{"a": redrive.Text("v")}})
		}
	}
}

func TestEachGoesWhereItsFateSendsIt(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.putFated()
		r.source.Put(redrive.Entry{Body: "quarantine no form"})
		dry := r.must("dry", func(p *redrive.Plan) { r.fated(p); p.DryRun, p.Log = true, nil })
		if dry != (redrive.Result{Matched: 12, Quarantined: 13, Archived: 12, Left: 49, Skipped: 12, Failed: 12}) {
			t.Errorf("dry: %+v", dry)
		}
		r.visible(61)
		result := r.must("run", r.fated)
		if result != (redrive.Result{Matched: 12, Sent: 12, Entries: 12, Quarantined: 12, Archived: 12, Deleted: 36, Left: 13, Skipped: 12, Failed: 13}) {
			t.Errorf("%+v", result)
		}
		r.visible(25)
		r.atTarget(12)
		for _, m := range append(r.quarantine.All(), r.archive.All()...) {
			if string(m.Attributes[redrive.RunAttribute].Value) != "" {
				t.Errorf("%s has marks: %v", m.Body, m.Attributes)
			}
		}
		if q := bodies(r.quarantine); len(q) != 12 || q[0] != "quarantine 0 because of quarantine" {
			t.Errorf("quarantined %v", q)
		}
		if a := r.archive.All(); len(a) != 12 || !strings.HasPrefix(a[0].Body, "archive ") || string(a[0].Attributes["a"].Value) != "v" {
			t.Errorf("archived %v", a)
		}
		log := r.lines("run")
		for outcome, want := range map[string]int{`"sent"`: 12, `"quarantined"`: 12, `"archived"`: 12, `"deleted"`: 36, `"kept"`: 13} {
			if n := strings.Count(log, `"outcome":`+outcome); n != want {
				t.Errorf("%d times %s, want %d", n, outcome, want)
			}
		}
		for _, why := range []string{`"why":"of archive"`, `"why":"of quarantine"`, `"why":"of keep"`, `"why":"it has no form"`} {
			if !strings.Contains(log, why) {
				t.Errorf("the log has no %s", why)
			}
		}
		if s, err := redrive.History(r.folder); err != nil || s[0].Sent != 12 || s[0].Quarantined != 12 || s[0].Archived != 12 || s[0].Deleted != 36 || s[0].Unsure != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// What is for a sink that the plan lacks stays, with the reason.
func TestWithoutASinkItIsKept(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.putFated()
		result := r.must("run", func(p *redrive.Plan) { r.fated(p); p.Quarantine, p.Archive = nil, nil })
		if result != (redrive.Result{Matched: 12, Sent: 12, Entries: 12, Deleted: 12, Left: 36, Skipped: 12, Failed: 36}) {
			t.Errorf("%+v", result)
		}
		r.visible(48)
		if log := r.lines("run"); strings.Count(log, `"why":"of archive"`) != 12 || strings.Count(log, `"why":"of quarantine"`) != 12 {
			t.Error(log)
		}
	})
}

// What went to the quarantine or the archive, and could not be deleted, has only to be deleted.
func TestAResumedRunOnlyDeletesWhatWentAside(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "quarantine"})
		r.source.Put(redrive.Entry{Body: "archive"})
		r.source.OnDelete = func(m []redrive.Message) (map[string]redrive.Failure, error) { return nil, errors.New("planted") }
		if result := r.must("run", r.fated); result.Quarantined+result.Archived+result.Deleted != 0 || result.Left != 2 {
			t.Errorf("%+v", result)
		}
		r.source.OnDelete = nil
		if result := r.must("run", r.fated); result != (redrive.Result{Quarantined: 1, Archived: 1, Deleted: 2}) {
			t.Errorf("resumed: %+v", result)
		}
		if len(r.quarantine.All()) != 1 || len(r.archive.All()) != 1 {
			t.Errorf("quarantined %v, archived %v", r.quarantine.All(), r.archive.All())
		}
	})
}

// A limit is for all that moves, in all resumptions together.
func TestALimitCountsWhatWentAside(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		for i := range 30 {
			r.source.Put(redrive.Entry{Body: fmt.Sprint([]string{"quarantine ", "archive ", "keep "}[i%3], i)})
		}
		limited := func(p *redrive.Plan) { r.fated(p); p.Limit = 4 }
		r.source.OnDelete = func(m []redrive.Message) (map[string]redrive.Failure, error) {
			return map[string]redrive.Failure{m[0].ID: {Code: "Planted"}}, nil
		}
		r.must("run", limited)
		r.source.OnDelete = nil
		r.must("run", limited)
		if n := len(r.quarantine.All()) + len(r.archive.All()); n != 4 || len(r.source.All()) != 26 {
			t.Errorf("%d moved, %d left", n, len(r.source.All()))
		}
	})
}

// An outage of the archive is no reason to lose what is for it, and is not hidden by what goes well elsewhere.
func TestBreakerMindsEachSink(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		for i := range 2000 {
			r.source.Put(redrive.Entry{Body: fmt.Sprint(map[bool]string{true: "archive", false: "replay"}[i%8 == 0], " ", i)})
		}
		r.archive.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { return nil, errors.New("planted") }
		result := r.must("run", r.fated)
		if !strings.Contains(result.Why, "failed") || result.Archived != 0 {
			t.Errorf("%+v", result)
		}
		if n, sent := len(r.source.All()), len(r.target.All()); n+sent != 2000 || sent > 500 {
			t.Errorf("%d are there, and %d at the target", n, sent)
		}
	})
}

func TestTheThirdTimeItIsQuarantined(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		thrice := map[string]redrive.Attribute{redrive.CountAttribute: {Type: "Number", Value: []byte("3")}}
		r.source.Put(redrive.Entry{Body: "replay at rest", Attributes: thrice})
		r.source.Put(redrive.Entry{Body: "replay inside"})
		r.source.Put(redrive.Entry{Body: "replay"})
		result := r.must("run", func(p *redrive.Plan) {
			r.fated(p)
			p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
				inside := m
				if strings.HasSuffix(m.Body, "inside") { // of an envelope
					inside.Attributes = thrice
				}
				return redrive.Decision{Fate: redrive.Replay, Message: &inside}, nil
			}
		})
		if result != (redrive.Result{Matched: 1, Sent: 1, Entries: 1, Quarantined: 2, Deleted: 3}) {
			t.Errorf("%+v", result)
		}
		if got := bodies(r.quarantine); len(got) != 2 || !strings.Contains(got[0], "was replayed 3 times") {
			t.Errorf("quarantined %v", got)
		}
	})
}

// What is sent in place of a message that was replayed three times counts for itself: it was edited, or is asked for anew.
func TestWhatIsSentCountsForItself(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		three := map[string]redrive.Attribute{redrive.CountAttribute: {Type: "Number", Value: []byte("3")}}
		r.source.Put(redrive.Entry{Body: "anew", Attributes: three})
		r.source.Put(redrive.Entry{Body: "as it is", Attributes: three})
		result := r.must("run", func(p *redrive.Plan) {
			p.Quarantine = r.quarantine
			p.Decide = func(_ context.Context, m redrive.Message) (redrive.Decision, error) {
				sent := m
				if m.Body == "anew" {
					sent.Attributes = map[string]redrive.Attribute{redrive.EditedAttribute: redrive.Text("somebody")}
				}
				return redrive.Decision{Fate: redrive.Replay, Message: &sent}, nil
			}
		})
		if result != (redrive.Result{Matched: 1, Sent: 1, Entries: 1, Quarantined: 1, Deleted: 2}) {
			t.Errorf("%+v", result)
		}
		m := r.target.All()[0]
		if m.Body != "anew" || string(m.Attributes[redrive.CountAttribute].Value) != "1" || string(m.Attributes[redrive.EditedAttribute].Value) != "somebody" {
			t.Errorf("%+v", m)
		}
	})
}

// Rows that take longer to read than a message is hidden are all sent, once, and not before that is the message deleted.
func TestSlowRowsAreAllSent(t *testing.T) {
	for _, slow := range []int{0, 1, 15, 29} {
		t.Run(fmt.Sprint(slow), func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				r.source.Put(redrive.Entry{Body: "range"})
				result := r.must("run", func(p *redrive.Plan) {
					p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) {
						return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
							for i := range 30 {
								if i == slow {
									pass(3 * redrive.DefaultHold)
								}
								if !yield(redrive.Message{Body: fmt.Sprintf("row-%02d", i)}, nil) {
									return
								}
							}
						}}, nil
					}
				})
				if result != (redrive.Result{Matched: 1, Sent: 1, Entries: 30, Deleted: 1}) {
					t.Errorf("%+v", result)
				}
				r.atTarget(30)
				r.visible(0)
			})
		})
	}
}

// A message that is lost while a part of it is on its way is not taken for sent: it is received again, and begins anew.
func TestWhatIsLostInTheMiddleIsNotSent(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "range"})
		var outage atomic.Bool // rows are read while messages are hidden
		outage.Store(true)
		r.source.OnHide = func([]redrive.Message, time.Duration) (map[string]redrive.Failure, error) {
			if outage.Load() {
				return nil, errors.New("away")
			}
			return nil, nil
		}
		first := true
		result := r.must("run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) {
				return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
					for i := range 30 {
						if first && i == 15 {
							pass(3 * redrive.DefaultHold)
							first = false
							outage.Store(false)
						}
						if !yield(redrive.Message{Body: fmt.Sprintf("row-%02d", i)}, nil) {
							return
						}
					}
				}}, nil
			}
		})
		if result.Sent != 1 || result.Deleted != 1 || result.Left != 0 || result.Entries < 30 {
			t.Errorf("%+v", result)
		}
		came := map[string]bool{}
		for _, m := range r.target.All() {
			came[m.Body] = true
		}
		if len(came) != 30 {
			t.Errorf("%d of 30 rows came", len(came))
		}
		r.visible(0)
	})
}

// rows stands for one message at rest: n rows, of which the one at fails, if there is one. It says how many were asked for.
func rows(n, fails int, asked *int) redrive.Decision {
	return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
		for i := range n {
			*asked++
			if i == fails {
				yield(redrive.Message{}, errors.New("planted: no more rows"))
				return
			}
			if !yield(redrive.Message{Body: fmt.Sprint("row-", i)}, nil) {
				return
			}
		}
	}}
}

// One message may stand for more than memory holds: rows are asked for as they are sent, in order, and it goes when all
// are confirmed.
func TestOneMessageStandsForMany(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		id := r.source.Put(redrive.Entry{Body: "range"})
		const n = 10_000
		asked, sent := 0, 0
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			if asked-sent > redrive.MaxBatch+1 {
				t.Fatalf("%d were asked for and %d sent", asked, sent)
			}
			if len(r.source.All()) != 1 {
				t.Fatal("it was deleted too early")
			}
			for _, e := range entries {
				if e.Body != fmt.Sprint("row-", sent) || e.ID != id || string(e.Attributes[redrive.OfAttribute].Value) != id {
					t.Fatalf("%+v after %d", e, sent)
				}
				sent++
			}
			return nil, nil
		}
		begin := time.Now()
		result := r.must("run", func(p *redrive.Plan) {
			p.Rate, p.Hold = 100, 20*time.Second
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return rows(n, -1, &asked), nil }
		})
		if result != (redrive.Result{Matched: 1, Sent: 1, Entries: n, Deleted: 1}) {
			t.Errorf("%+v", result)
		}
		if took := time.Since(begin); took < n/100*time.Second-time.Second {
			t.Errorf("took %v: the rate is not theirs", took)
		}
		log := r.lines("run")
		for _, outcome := range []string{"sending", "sent", "deleted"} {
			if strings.Count(log, `"outcome":"`+outcome+`"`) != 1 {
				t.Errorf("not one %q in %s", outcome, log)
			}
		}
	})
}

func TestRowsEndInAnError(t *testing.T) {
	for _, at := range []int{0, 1, 9, 10, 25, 99} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			virtually(t, func(t *testing.T, r *rig) {
				r.source.Put(redrive.Entry{Body: "range"})
				asked := 0
				fails := at
				plan := func(p *redrive.Plan) {
					p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return rows(100, fails, &asked), nil }
				}
				if result := r.must("run", plan); result != (redrive.Result{Matched: 1, Entries: at, Left: 1, Failed: 1}) {
					t.Errorf("%+v", result)
				}
				r.visible(1)
				r.atTarget(at)
				if log := r.lines("run"); strings.Count(log, `"why":"planted: no more rows"`) != 1 || strings.Contains(log, `"outcome":"sent"`) {
					t.Error(log)
				}
				fails = -1 // it begins anew
				if result := r.must("run", plan); result != (redrive.Result{Matched: 1, Sent: 1, Entries: 100, Deleted: 1}) {
					t.Errorf("resumed: %+v", result)
				}
				r.atTarget(at + 100)
			})
		})
	}
}

// A row that fails for good keeps the message, not the other rows.
func TestOneRowIsRefused(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "range"})
		asked, tried, healing := 0, 0, 2
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			failed := map[int]redrive.Failure{}
			for i, e := range entries {
				switch {
				case e.Body == "row-13":
					tried++
					failed[i] = redrive.Failure{Code: "Planted"}
				case e.Body == "row-14" && healing > 0:
					healing--
					failed[i] = redrive.Failure{Code: "Planted"}
				}
			}
			return failed, nil
		}
		result := r.must("run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return rows(30, -1, &asked), nil }
		})
		if result != (redrive.Result{Matched: 1, Entries: 29, Left: 1, Failed: 1}) || tried != 3 || asked != 30 {
			t.Errorf("%+v, tried %d times", result, tried)
		}
		r.visible(1)
		r.atTarget(29)
	})
}

// What failed is tried again before there is too much of it to hold.
func TestRowsThatFailedDoNotPileUp(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "range"})
		asked, most := 0, 0
		waiting := map[string]bool{}
		r.target.OnSend = func(entries []redrive.Entry) (map[int]redrive.Failure, error) {
			failed := map[int]redrive.Failure{}
			for i, e := range entries {
				if strings.HasSuffix(e.Body, "7") && !waiting[e.Body] {
					waiting[e.Body] = true
					failed[i] = redrive.Failure{Code: "Planted"}
				} else {
					delete(waiting, e.Body)
				}
			}
			most = max(most, len(waiting))
			return failed, nil
		}
		result := r.must("run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return rows(5000, -1, &asked), nil }
		})
		if result != (redrive.Result{Matched: 1, Sent: 1, Entries: 5000, Deleted: 1}) || most > 110 {
			t.Errorf("%+v, and %d waited", result, most)
		}
	})
}

// A table without rows has nothing to bring back.
func TestNoRowsAtAll(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(3)
		asked := 0
		result := r.must("run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return rows(0, -1, &asked), nil }
		})
		if result != (redrive.Result{Matched: 3, Sent: 3, Deleted: 3}) {
			t.Errorf("%+v", result)
		}
	})
}

// ctrl-C ends the reading of rows, too: that is no fault of the message.
func TestInterruptAmongRows(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "range"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		closed := false
		plan := func(p *redrive.Plan) {
			p.Decide = func(ctx context.Context, _ redrive.Message) (redrive.Decision, error) {
				return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
					defer func() { closed = true }()
					for i := range 100 {
						if i == 35 {
							cancel()
						}
						if ctx.Err() != nil {
							yield(redrive.Message{}, ctx.Err())
							return
						}
						if !yield(redrive.Message{Body: fmt.Sprint("row-", i)}, nil) {
							return
						}
					}
				}}, nil
			}
		}
		result, err := r.do(ctx, "run", plan)
		if err != nil || result.Why != "interrupted" || result.Failed != 0 || result.Left != 1 || !closed {
			t.Errorf("%+v, %v, closed %v", result, err, closed)
		}
		r.visible(1)
		if log := r.lines("run"); strings.Contains(log, `"outcome":"failed"`) || strings.Contains(log, `"outcome":"kept"`) {
			t.Error(log)
		}
	})
}

// Rows that nobody asks for any more are let go of.
func TestRowsAreClosed(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.source.Put(redrive.Entry{Body: "range"})
		closed := false
		r.target.OnSend = func([]redrive.Entry) (map[int]redrive.Failure, error) { return nil, redrive.ErrDenied }
		_, err := r.do(t.Context(), "run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) {
				return redrive.Decision{Fate: redrive.Replay, Messages: func(yield func(redrive.Message, error) bool) {
					defer func() { closed = true }()
					for yield(redrive.Message{Body: "row"}, nil) {
					}
				}}, nil
			}
		})
		if !errors.Is(err, redrive.ErrDenied) || !closed {
			t.Errorf("%v, closed %v", err, closed)
		}
	})
}

func TestAnErrorOfDecideEndsTheRun(t *testing.T) {
	virtually(t, func(t *testing.T, r *rig) {
		r.put(25)
		planted := errors.New("planted: jq takes too long")
		result, err := r.do(t.Context(), "run", func(p *redrive.Plan) {
			p.Decide = func(context.Context, redrive.Message) (redrive.Decision, error) { return redrive.Decision{}, planted }
		})
		if !errors.Is(err, planted) || result.Sent != 0 || result.Failed != 0 || result.Why != planted.Error() {
			t.Errorf("%+v, %v", result, err)
		}
		r.visible(25)
	})
}
