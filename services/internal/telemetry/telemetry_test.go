package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/iops-dashboard/live/services/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFlushTellsOfItsFailure(t *testing.T) {
	t.Parallel()
	r := telemetry.New("fanout")
	r.Counter("Posts", telemetry.Count).Add(1)
	if err := r.Flush(full{}); err == nil {
		t.Error("no error")
	}
}

func TestRunNeedsItsAddress(t *testing.T) {
	t.Parallel()
	if err := telemetry.New("fanout").Run(t.Context(), io.Discard, "256.0.0.1:1"); err == nil {
		t.Error("no error")
	}
}

func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for l := range strings.Lines(text) {
		var document map[string]any
		if err := json.Unmarshal([]byte(l), &document); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		all = append(all, document)
	}
	return all
}

// The lines have the form that CloudWatch reads: every metric that is defined is there, with a value or
// up to 100 of them.
func TestLinesAreEmbeddedMetrics(t *testing.T) {
	t.Parallel()
	r := telemetry.New("fanout")
	f := telemetry.NewFanout(r)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				f.Post(telemetry.Post{Verdict: "delivered", Updates: 10, Bytes: 4000, Age: 23 * time.Millisecond, Waited: 1500 * time.Microsecond, Took: 7 * time.Millisecond})
				f.Post(telemetry.Post{Verdict: "closed", Updates: 10, Bytes: 4000, Took: 7 * time.Millisecond})
				f.Round(telemetry.Round{
					Outcome: "done", Messages: 12, Rows: 100, Conflated: 2,
					QueueAge: 5 * time.Millisecond, Waited: 6 * time.Millisecond, Took: 9 * time.Millisecond,
				})
				f.Settled(8 * time.Millisecond)
				f.Depth(3, 4)
				f.Crossed(1)
			}
		})
	}
	all.Wait()
	var out bytes.Buffer
	if err := r.Flush(&out); err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, l := range lines(t, out.String()) {
		aws := l["_aws"].(map[string]any)
		if at := time.UnixMilli(int64(aws["Timestamp"].(float64))); time.Since(at).Abs() > time.Minute {
			t.Errorf("timestamp %v", at)
		}
		directive := aws["CloudWatchMetrics"].([]any)[0].(map[string]any)
		if directive["Namespace"] != telemetry.Namespace {
			t.Errorf("namespace %v", directive["Namespace"])
		}
		by := ""
		for _, set := range directive["Dimensions"].([]any) {
			for _, name := range set.([]any) {
				value, ok := l[name.(string)].(string)
				if !ok {
					t.Errorf("the dimension %v is not in %v", name, l)
				}
				by += "/" + value
			}
		}
		for _, metric := range directive["Metrics"].([]any) {
			name := metric.(map[string]any)["Name"].(string)
			if unit := metric.(map[string]any)["Unit"].(string); !slices.Contains([]string{"Count", "Bytes", "Milliseconds"}, unit) {
				t.Errorf("%s in %s", name, unit)
			}
			switch value := l[name].(type) {
			case float64:
				sums[by+"/"+name] = value
			case []any:
				if len(value) == 0 || len(value) > 100 {
					t.Errorf("%s has %d values", name, len(value))
				}
				sums[by+"/"+name] = value[0].(float64)
			default:
				t.Errorf("%s is %v", name, value)
			}
		}
	}
	for name, want := range map[string]float64{
		"/fanout/delivered/Posts": 400, "/fanout/closed/Posts": 400, "/fanout/done/Messages": 4800, "/fanout/UpdatesPosted": 4000,
		"/fanout/RegistryRowsRead": 40_000, "/fanout/UpdatesConflated": 800, "/fanout/WriteToPostLatency": 23, "/fanout/UpdatesPerFrame": 10,
		"/fanout/QueueAge": 5, "/fanout/RoundDuration": 9, "/fanout/MailboxDepth": 4, "/fanout/MessagesUnderWay": 3, "/fanout/FrameBytes": 1_600_000,
		"/fanout/ReadWait": 6, "/fanout/MailboxWait": 1.5, "/fanout/PostDuration": 7, "/fanout/SettleDuration": 8, "/fanout/CrossTenant": 400,
	} {
		if sums[name] != want {
			t.Errorf("%s is %v, want %v", name, sums[name], want)
		}
	}
	out.Reset()
	if err := r.Flush(&out); err != nil || out.Len() > 0 {
		t.Errorf("the second flush writes %s, %v", &out, err)
	}
}

// Two systems in one account do not add up.
func TestMetricsCanBeInAnotherNamespace(t *testing.T) {
	t.Parallel()
	r := telemetry.New("fanout")
	r.Under("IOpsDashboard-beta")
	r.Counter("Posts", telemetry.Count, "verdict", "delivered").Add(1)
	r.Distribution("QueueAge", telemetry.Milliseconds).Observe(1)
	var out bytes.Buffer
	if err := r.Flush(&out); err != nil {
		t.Fatal(err)
	}
	told := lines(t, out.String())
	if len(told) != 2 {
		t.Fatalf("%d lines: %s", len(told), &out)
	}
	for _, l := range told {
		directive := l["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0].(map[string]any)
		if directive["Namespace"] != "IOpsDashboard-beta" {
			t.Errorf("namespace %v", directive["Namespace"])
		}
	}
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	r := telemetry.New("fanout")
	f := telemetry.NewFanout(r)
	for range 3 {
		f.Post(telemetry.Post{Verdict: "delivered", Updates: 1, Bytes: 400, Age: 23 * time.Millisecond})
	}
	if err := r.Flush(io.Discard); err != nil { // which changes nothing here
		t.Fatal(err)
	}
	f.Post(telemetry.Post{Verdict: "delivered", Updates: 1, Bytes: 400, Age: 23 * time.Millisecond})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, want := range []string{
		`posts_total{service="fanout",verdict="delivered"} 4`, `write_to_post_latency_bucket{service="fanout",le="50"} 4`, `write_to_post_latency_bucket{service="fanout",le="20"} 0`, `write_to_post_latency_sum{service="fanout"} 92`, `write_to_post_latency_count{service="fanout"} 4`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

func TestRunFlushesInItsRhythmAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := telemetry.New("fanout")
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx, &out, "") }()
		for range 3 {
			r.Counter("Posts", telemetry.Count).Add(1)
			time.Sleep(telemetry.Interval)
			synctest.Wait()
		}
		r.Counter("Posts", telemetry.Count).Add(1)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := len(lines(t, out.String())); got != 4 {
			t.Errorf("%d lines: %s", got, &out)
		}
	})
}

func BenchmarkPost(b *testing.B) {
	f := telemetry.NewFanout(telemetry.New("fanout"))
	for b.Loop() {
		f.Post(telemetry.Post{Verdict: "delivered", Updates: 1, Bytes: 400, Age: 23 * time.Millisecond, Waited: time.Millisecond, Took: time.Millisecond})
	}
}
