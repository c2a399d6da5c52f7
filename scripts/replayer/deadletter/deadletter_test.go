package deadletter_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

func example(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "contracts", "examples", "events", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func place(t *testing.T, named string) deadletter.Place {
	t.Helper()
	p, err := deadletter.Find(named, topology.Production)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func text(s string) redrive.Attribute { return redrive.Attribute{Type: "String", Value: []byte(s)} }

func TestFindsAPlaceByAnyOfItsNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		named, stage string
		name, target string
		kind         deadletter.Kind
	}{
		{"fanout-0", "", "iops-dashboard-fanout-0-dlq", "iops-dashboard-fanout-0", deadletter.Unprocessed},
		{"fanout-0", "prod", "iops-dashboard-fanout-0-dlq", "iops-dashboard-fanout-0", deadletter.Unprocessed},
		{"fanout-15", "prod", "iops-dashboard-fanout-15-dlq", "iops-dashboard-fanout-15", deadletter.Unprocessed},
		{"fanout-1-subscription", "beta", "iops-dashboard-fanout-1-subscription-dlq-beta", "iops-dashboard-fanout-1-beta", deadletter.Undelivered},
		{"iops-dashboard-fanout-2-dlq", "prod", "iops-dashboard-fanout-2-dlq", "iops-dashboard-fanout-2", deadletter.Unprocessed},
		{"iops-dashboard-fanout-2-dlq-beta", "", "iops-dashboard-fanout-2-dlq-beta", "iops-dashboard-fanout-2-beta", deadletter.Unprocessed},
		{"quarantine", "prod", "iops-dashboard-quarantine", "iops-dashboard-normalizer", deadletter.Quarantined},
		{"failures", "beta", "iops-dashboard-failures-beta", "iops-dashboard-normalizer-beta", deadletter.GivenUp},
		{"iops-dashboard-failures-beta", "beta", "iops-dashboard-failures-beta", "iops-dashboard-normalizer-beta", deadletter.GivenUp},
		{"https://sqs.eu-west-1.amazonaws.com/123456789012/iops-dashboard-fanout-0-subscription-dlq", "prod", "iops-dashboard-fanout-0-subscription-dlq", "iops-dashboard-fanout-0", deadletter.Undelivered},
	} {
		p, err := deadletter.Find(tc.named, tc.stage)
		stage := "prod"
		if strings.HasSuffix(tc.name, "-beta") {
			stage = "beta"
		}
		if err != nil || p.Name != tc.name || p.Target != tc.target || p.Kind != tc.kind || p.Stage != stage {
			t.Errorf("%s at %s: %v, %+v", tc.named, tc.stage, err, p)
		}
	}
	if p, err := deadletter.Find("iops-dashboard-fanout-2-dlq-beta", "prod"); err == nil || !strings.Contains(err.Error(), "of stage beta, and not of prod") {
		t.Errorf("another stage: %v, %+v", err, p)
	}
	for named, says := range map[string]string{
		"":                        "want fanout-0",
		"fanout-16":               "want fanout-0",
		"fanout-x":                "want fanout-0",
		"iops-dashboard-fanout-0": "rest in iops-dashboard-fanout-0-dlq",
	} {
		if p, err := deadletter.Find(named, "prod"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %+v", named, err, p)
		}
	}
}

// Every place of rest of a system is known, with the variables that hold the URLs, whatever its shards and its stage.
func TestKnowsWhatTheTopologyHas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := topology.Options{
			Shards:         rapid.IntRange(1, topology.Buckets).Draw(t, "shards"),
			FanoutFunction: rapid.Bool().Draw(t, "function"),
			Stage:          rapid.SampledFrom([]string{"prod", "beta", "a1"}).Draw(t, "stage"),
		}
		system := topology.New(o)
		normalizer, _ := system.Function(topology.New(topology.Options{Stage: o.Stage}).Streams[0].Function)
		known := map[string]deadletter.Place{}
		for _, p := range deadletter.Places(o.Stage) {
			known[p.Name] = p
		}
		for _, q := range system.Queues {
			if _, ok := known[q.Name]; q.DeadLetter == "" && !ok {
				t.Fatalf("nobody knows what rests in %s", q.Name)
			}
		}
		for _, tc := range []struct {
			short string
			kind  deadletter.Kind
		}{{"quarantine", deadletter.Quarantined}, {"failures", deadletter.GivenUp}} {
			p, err := deadletter.Find(tc.short, o.Stage)
			if q, ok := system.Queue(p.Name); err != nil || !ok || p.Variable != q.Variable || p.Kind != tc.kind || p.Target != normalizer.Name {
				t.Fatalf("%v: %+v", err, p)
			}
		}
		for _, s := range system.Subscriptions {
			source, _ := system.Queue(s.Queue)
			for name, kind := range map[string]deadletter.Kind{s.DeadLetter: deadletter.Undelivered, source.DeadLetter: deadletter.Unprocessed} {
				p, err := deadletter.Find(name, "")
				q, _ := system.Queue(name)
				want := deadletter.Place{
					Name: name, Short: p.Short, Stage: o.Stage, Variable: q.Variable, Kind: kind,
					Target: source.Name, TargetVariable: source.Variable, Receives: source.MaxReceives,
				}
				if err != nil || p != want {
					t.Fatalf("%v: %+v, want %+v", err, p, want)
				}
				if again, err := deadletter.Find(p.Short, o.Stage); err != nil || again != p {
					t.Fatalf("%v: %q is %+v", err, p.Short, again)
				}
			}
		}
	})
}

func TestReadsWhatALetterIs(t *testing.T) {
	t.Parallel()
	sent := time.UnixMilli(1_795_000_000_000)
	deleted, insight := example(t, "metric-update/v1/delete.json"), example(t, "insight-created/v1/minimal.json")
	unknown := strings.Replace(deleted, "metric-update/v1.json", "metric-update/v9.json", 1)
	for name, tc := range map[string]struct {
		place, body string
		attributes  map[string]redrive.Attribute
		want        deadletter.Letter
	}{
		"gave up":      {"fanout-0", deleted, nil, deadletter.Letter{Cause: "gave up after 5 receives", Type: "METRIC_UPDATE", Tenant: "default", Entity: "student/stu_4532"}},
		"undelivered":  {"fanout-0-subscription", deleted, nil, deadletter.Letter{Cause: "SNS could not deliver it", Type: "METRIC_UPDATE", Tenant: "default", Entity: "student/stu_4532"}},
		"in envelope":  {"fanout-0-subscription", envelope(deleted, nil), nil, deadletter.Letter{Cause: "SNS could not deliver it", Type: "METRIC_UPDATE", Tenant: "default", Entity: "student/stu_4532"}},
		"with reason":  {"fanout-0", "{", map[string]redrive.Attribute{"dead_letter_reason": text("because"), "type": text("T")}, deadletter.Letter{Cause: "because", Type: "T"}},
		"no JSON":      {"fanout-0", "{", map[string]redrive.Attribute{"type": text("METRIC_UPDATE")}, deadletter.Letter{Cause: "unreadable: *syntax*", Type: "METRIC_UPDATE"}},
		"empty":        {"fanout-0", "", nil, deadletter.Letter{Cause: "unreadable: *"}},
		"odd envelope": {"fanout-0", `{"type":3,"tenant":[],"subject":null}`, nil, deadletter.Letter{Cause: "unreadable: *"}},
		"no object":    {"fanout-0", `[1]`, nil, deadletter.Letter{Cause: "unreadable: *"}},
		"newer major":  {"fanout-0", unknown, nil, deadletter.Letter{Cause: "unreadable: *unknown-major*", Type: "METRIC_UPDATE", Tenant: "default", Entity: "student/stu_4532"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := place(t, tc.place).Read(redrive.Message{Body: tc.body, Attributes: tc.attributes, SentAt: sent})
			want := tc.want
			want.SentAt = sent
			if readable := want.Entity != "" && !strings.Contains(want.Cause, "*"); (err == nil) != readable || errors.Is(err, deadletter.ErrNewer) != (name == "newer major") {
				t.Errorf("error %v", err)
			}
			if pattern, ok := strings.CutSuffix(want.Cause, "*"); ok {
				head, part, _ := strings.Cut(pattern, "*")
				if strings.HasPrefix(got.Cause, head) && strings.Contains(got.Cause, part) {
					want.Cause = got.Cause
				}
			}
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
	if got, _, err := place(t, "fanout-0").Read(redrive.Message{Body: insight}); err != nil || got.Type != "INSIGHT_CREATED" || !strings.HasPrefix(got.Entity, "insight/") || got.Cause != "gave up after 5 receives" {
		t.Errorf("%+v", got)
	}
}

// A cause is printed, and logged: it holds nothing of what the body says.
func TestCauseHoldsNoData(t *testing.T) {
	t.Parallel()
	const secret = "S3CRET"
	for _, body := range []string{
		secret, `"` + secret + `"`, `{"type":"METRIC_UPDATE","subject":"` + secret + `"}`,
		strings.Replace(example(t, "metric-update/v1/delete.json"), `"DELETE"`, `"`+secret+`"`, 1),
	} {
		if got, _, err := place(t, "fanout-0").Read(redrive.Message{Body: body}); strings.Contains(fmt.Sprint(got.Cause, err), secret) {
			t.Errorf("%s, %v", got.Cause, err)
		}
	}
}

func envelope(message string, attributes map[string]redrive.Attribute) string {
	said := map[string]any{}
	for name, a := range attributes {
		value := string(a.Value)
		if strings.HasPrefix(a.Type, "Binary") {
			value = base64.StdEncoding.EncodeToString(a.Value)
		}
		said[name] = map[string]string{"Type": a.Type, "Value": value}
	}
	content, _ := json.Marshal(map[string]any{
		"Type": "Notification", "MessageId": "7d1b0ad0", "TopicArn": "arn:aws:sns:us-east-1:123456789012:iops-dashboard-updates",
		"Message": message, "Timestamp": "2026-11-22T10:00:00.456Z", "SignatureVersion": "1", "Signature": "x",
		"SigningCertURL": "https://x", "UnsubscribeURL": "https://x", "MessageAttributes": said,
	})
	return string(content)
}

func drawAttributes(t *rapid.T) map[string]redrive.Attribute {
	all := map[string]redrive.Attribute{}
	for i := range rapid.IntRange(0, 12).Draw(t, "n") {
		kind := rapid.SampledFrom([]string{"String", "Number", "Binary", "String.Array", "Binary.png"}).Draw(t, "type")
		value := []byte(rapid.String().Draw(t, "text"))
		if strings.HasPrefix(kind, "Binary") {
			value = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		}
		all["a"+strconv.Itoa(i)] = redrive.Attribute{Type: kind, Value: value}
	}
	return all
}

func equal(a, b map[string]redrive.Attribute) bool {
	return maps.EqualFunc(a, b, func(a, b redrive.Attribute) bool { return a.Type == b.Type && slices.Equal(a.Value, b.Value) })
}

// Raw or in an envelope, the queue gets what was published; restored once more it is the same.
func TestRestoreIsWhatWasPublished(t *testing.T) {
	t.Parallel()
	undelivered, unprocessed := place(t, "fanout-0-subscription"), place(t, "fanout-0")
	rapid.Check(t, func(t *rapid.T) {
		body, attributes := rapid.String().Draw(t, "body"), drawAttributes(t)
		marked := maps.Clone(attributes)
		marked[deadletter.ReasonAttribute] = text("because")
		for how, given := range map[string]struct {
			place deadletter.Place
			m     redrive.Message
		}{
			"raw":         {undelivered, redrive.Message{Body: body, Attributes: attributes}},
			"envelope":    {undelivered, redrive.Message{Body: envelope(body, attributes)}},
			"with reason": {unprocessed, redrive.Message{Body: body, Attributes: marked}},
		} {
			before := maps.Clone(given.m.Attributes)
			_, got, _ := given.place.Read(given.m)
			if got.Body != body || !equal(got.Attributes, attributes) {
				t.Fatalf("%s: %+v", how, got)
			}
			if !equal(given.m.Attributes, before) {
				t.Fatalf("%s: the message itself has changed", how)
			}
			if _, again, _ := given.place.Read(got); again.Body != body || !equal(again.Attributes, attributes) {
				t.Fatalf("%s: restored twice: %+v", how, again)
			}
		}
	})
}

// How often a message was replayed is an attribute of the message, not of the envelope in it.
func TestRestoreKeepsWhatCameAfterTheEnvelope(t *testing.T) {
	t.Parallel()
	_, got, _ := place(t, "fanout-0-subscription").Read(redrive.Message{
		Body: envelope("b", map[string]redrive.Attribute{"type": text("T")}), Attributes: map[string]redrive.Attribute{"x-replay-count": text("2")},
	})
	if string(got.Attributes["x-replay-count"].Value) != "2" || string(got.Attributes["type"].Value) != "T" {
		t.Errorf("%+v", got)
	}
}

func TestRestoreTellsABrokenEnvelope(t *testing.T) {
	t.Parallel()
	broken := `{"Type":"Notification","MessageId":"m","TopicArn":"a","Message":"SECRET","MessageAttributes":{"b":{"Type":"Binary","Value":"SECRET!"}}}`
	p := place(t, "fanout-0-subscription")
	if got, _, err := p.Read(redrive.Message{Body: broken}); err == nil || strings.Contains(err.Error(), "SECRET") || got.Cause != "unreadable: "+err.Error() {
		t.Errorf("%v, %+v", err, got)
	}
	// What only looks like one is what was published.
	for _, body := range []string{`{"Type":"Notification"}`, `{"Type":"Notification","MessageId":"m","TopicArn":"a"}`, `{"Type":"Other","MessageId":"m","TopicArn":"a","Message":"b"}`} {
		if _, got, _ := p.Read(redrive.Message{Body: body}); got.Body != body {
			t.Errorf("%+v", got)
		}
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	p := place(t, "fanout-1")
	for arn, want := range map[string]bool{"": false, "arn:aws:sqs:us-east-1:1:iops-dashboard-fanout-1": false, "arn:aws:sqs:us-east-1:1:iops-dashboard-fanout-0": true} {
		if got := p.Foreign(redrive.Message{System: map[string]string{"DeadLetterQueueSourceArn": arn}}); got != want {
			t.Errorf("%q: %v", arn, got)
		}
	}
}
