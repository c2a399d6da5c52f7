package normalizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/logtest"
	"github.com/iops-dashboard/live/services/internal/quarantine/memquarantine"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/state/memstate"
	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/internal/topic/memtopic"
	"github.com/iops-dashboard/live/services/normalizer"
)

// rig is a normalizer on fakes whose outages a test decides.
type rig struct {
	t          *testing.T
	state      *faultyState
	topic      memtopic.Topic
	quarantine memquarantine.Quarantine
	log        logtest.Log
	subject    *normalizer.Normalizer
}

func newRig(t *testing.T, adjust ...func(*normalizer.Config)) *rig {
	t.Helper()
	r := &rig{t: t, state: &faultyState{Table: memstate.New(1_795_000_000_000)}}
	config := normalizer.Config{
		State: r.state, Topic: &r.topic, Quarantine: &r.quarantine,
		MetricsTable: "iops-dashboard-metrics", InsightsTable: "iops-dashboard-insights",
		Log: slog.New(slog.NewJSONHandler(&r.log, nil)),
		Now: func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) },
	}
	for _, f := range adjust {
		f(&config)
	}
	subject, err := normalizer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.subject = subject
	return r
}

// handle returns the sequence numbers that are to come again.
func (r *rig) handle(ctx context.Context, changes ...change) []string {
	r.t.Helper()
	response, err := r.subject.Handle(ctx, batch(changes...))
	if err != nil {
		r.t.Fatal(err)
	}
	failures := []string{}
	for _, f := range response.BatchItemFailures {
		failures = append(failures, f.ItemIdentifier)
	}
	return failures
}

func (r *rig) wantFailures(got []string, want ...string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("records %v are to come again, want %v", got, want)
	}
}

// wantEvents compares entity, operation and revision of what was published.
func (r *rig) wantEvents(want ...string) {
	r.t.Helper()
	got := []string{}
	for _, m := range r.topic.Messages() {
		e := decodeEvent(r.t, m.Body)
		contract := contracts.KindMetricUpdateV1
		if e.Type == contracts.InsightCreatedV1Type {
			contract = contracts.KindInsightCreatedV1
		}
		if err := contracts.ValidateConsumer(contract, []byte(m.Body)); err != nil {
			r.t.Errorf("a consumer refuses %s: %v", m.Body, err)
		}
		got = append(got, fmt.Sprintf("%s %s %d", e.about(), e.Data.Operation, e.Data.Version.Revision))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		r.t.Errorf("published %v, want %v", got, want)
	}
}

func (r *rig) wantReasons(want ...string) {
	r.t.Helper()
	got := []string{}
	for _, q := range r.quarantine.Records() {
		if !json.Valid(q.Payload) {
			r.t.Errorf("record %s is in quarantine without its payload", q.Sequence)
		}
		got = append(got, q.Sequence+" "+q.Reason.Code+" "+q.Reason.Pointer)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		r.t.Errorf("in quarantine %q, want %q", got, want)
	}
}

// wantLine looks for the fields in the line of the last batch.
func (r *rig) wantLine(want map[string]any) {
	r.t.Helper()
	var line map[string]any
	for text := range strings.SplitSeq(strings.TrimSpace(r.log.String()), "\n") {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			r.t.Fatal(err)
		}
		if l["msg"] == "batch" {
			line = l
		}
	}
	for name, value := range want {
		if fmt.Sprint(line[name]) != fmt.Sprint(value) {
			r.t.Errorf("the log says %s %v, want %v", name, line[name], value)
		}
	}
	sum := 0.0
	for _, name := range []string{"applied", "repeated", "superseded", "quarantined", "failed"} {
		n, ok := line[name].(float64)
		if !ok {
			r.t.Errorf("the log lacks %s", name)
		}
		sum += n
	}
	if sum != line["records"] {
		r.t.Errorf("of %v records the log explains %v", line["records"], sum)
	}
}

// outage fails calls for as long as a test wants.
var errOutage = fault.New("test", fault.Transient, errors.New("no answer"))

type silentTopic struct{}

func (silentTopic) Publish(context.Context, []topic.Message) []error { return nil }

// faultyState is a state table that fails before or after it has applied a change.
type faultyState struct {
	*memstate.Table
	before, after func(state.Change) error
	wait          func(context.Context, state.Change)

	mu sync.Mutex
	n  int
}

func (s *faultyState) Apply(ctx context.Context, c state.Change) (state.Result, error) {
	s.mu.Lock()
	s.n++
	s.mu.Unlock()
	if s.wait != nil {
		s.wait(ctx, c)
	}
	if s.before != nil {
		if err := s.before(c); err != nil {
			return state.Result{}, err
		}
	}
	result, err := s.Table.Apply(ctx, c)
	if err == nil && s.after != nil {
		if err := s.after(c); err != nil {
			return state.Result{}, err
		}
	}
	return result, err
}

func (s *faultyState) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
