package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	s := newShard(t, 0)
	s.rest(event("stu_1"), event("stu_2"), "no JSON")
	for _, args := range [][]string{{"replay", s.short}, {"replay", s.short, "--limit", "2"}, {"replay", "iops-dashboard-fanout-0-dlq", "--all"}, {"replay", s.dlq, "--json"}} {
		out, _ := s.run(0, args...)
		if args[len(args)-1] == "--json" {
			contains(t, out, `"matched":2`, `"quarantined":1`, `"sent":0`, `"dry_run":true`)
		} else {
			contains(t, out, "would be sent", "Nothing was sent", "--confirm")
		}
		s.wantDepths(strings.Join(args, " "), 3, 0)
	}
	if entries, err := os.ReadDir(filepath.Join(s.root, ".local")); err == nil {
		t.Errorf("a dry run wrote %v", entries)
	}
}

// Nothing of the queue is touched before what is asked for is known to be wanted.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newShard(t, 1)
	s.rest(event("stu_1"))
	for name, tc := range map[string]struct {
		args string
		code int
		says string
	}{
		"all of it":         {"replay fanout-1 --confirm", refused, "add --all"},
		"all and some":      {"replay fanout-1 --confirm --all --tenant default", refused, "without conditions"},
		"all and so many":   {"replay fanout-1 --confirm --all --limit 1", refused, "without conditions"},
		"no queue":          {"replay --all --confirm", refused, "Name a queue"},
		"resume dry":        {"replay --resume r", refused, "add --confirm"},
		"resume other":      {"replay --resume r --confirm --tenant t", refused, "has its queue"},
		"no such run":       {"replay --resume r --confirm", refused, "no run r"},
		"run elsewhere":     {"replay --resume ../r --confirm", refused, "no run"},
		"no rate":           {"replay fanout-1 --all --confirm --rate 0", refused, "--rate"},
		"no place":          {"replay nowhere --all --confirm", refused, "want fanout-0"},
		"a queue at work":   {"replay iops-dashboard-fanout-1 --all --confirm", refused, "rest in iops-dashboard-fanout-1-dlq"},
		"too fast for SQS":  {"replay fanout-1 --native --all --confirm --rate 600", refused, "500 a second"},
		"another stage":     {"replay iops-dashboard-fanout-1-dlq --stage beta --all --confirm", refused, "of stage prod, and not of beta"},
		"a URL of records":  {"replay http://sqs/000000000000/iops-dashboard-quarantine --all --confirm", refused, "name it quarantine"},
		"from elsewhere":    {"replay fanout-1 --from fanout-0 --confirm", refused, "--from is for the quarantine"},
		"from itself":       {"replay quarantine --from failures --confirm", refused, "--from failures: want"},
		"no number":         {"replay fanout-1 --all --confirm --rate NaN", refused, "--rate"},
		"all by SQS, some":  {"replay fanout-1 --native --tenant default --confirm", refused, "the whole queue"},
		"SNS's by SQS":      {"replay fanout-1-subscription --native --all --confirm", refused, "without --native"},
		"edit all":          {"edit fanout-1 --set .", refused, "Give a condition"},
		"edit blind":        {"edit fanout-1 --tenant default", refused, "no terminal"},
		"edit unasked":      {"edit fanout-1 --tenant default --confirm", refused, "asked before anything is sent"},
		"edit the store":    {"edit failures --cause x --set .", refused, "keeps it as it is"},
		"set":               {"edit fanout-1 --tenant default --set .a)", refused, "--set: "},
		"export all":        {"export fanout-1 there --move --confirm", refused, "add --all"},
		"export, confirmed": {"export fanout-1 there --all --confirm", refused, "without --move"},
		"no folder":         {"import nowhere --confirm", refused, "nowhere"},
		"resync whom":       {"resync metrics --tenant default", refused, "goes with --entity"},
		"no such run's":     {"history r", refused, "no run r"},
		"jq":                {"replay fanout-1 --confirm --jq .body)", refused, "line 1, column 6"},
		"a time":            {"replay fanout-1 --confirm --since yesterday", refused, `--since "yesterday": want a time`},
		"an entity":         {"inspect fanout-1 --entity stu_1", refused, "want a type, a slash and an id"},
		"option":            {"replay fanout-1 --yes", failed, "--yes"},
		"nothing asked for": {"", failed, "inspect"},
		"most":              {"inspect fanout-1 --most 0", refused, "--most"},
		"no such queue":     {"inspect fanout-15-subscription --stage gone", failed, "iops-dashboard-fanout-15-subscription-dlq-gone"},
	} {
		_, errs := s.run(tc.code, strings.Fields(tc.args)...)
		if !strings.Contains(errs, tc.says) {
			t.Errorf("%s: no %q in %s", name, tc.says, errs)
		}
	}
	s.wantDepths("after all refusals", 1, 0)
	if runs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*")); len(runs) > 0 {
		t.Errorf("what was refused left %q", runs)
	}
}

func TestReplayBringsAllBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 2)
	var bodies []string
	for i := range 12 {
		bodies = append(bodies, event(fmt.Sprintf("stu_%d", i)))
	}
	s.rest(bodies...)
	out, errs := s.run(0, "replay", s.short, "--all", "--confirm", "--rate", "1000")
	contains(t, out, "12 matched: 12 sent, 12 deleted, 0 left")
	contains(t, errs, "run 2", "iops-dashboard-fanout-2-dlq → iops-dashboard-fanout-2")
	s.wantDepths("replayed", 0, 12)

	got := map[string]bool{}
	for _, m := range s.all(s.source) {
		got[*m.Body] = true
		for name, want := range attributes {
			if a := m.MessageAttributes[name]; aws.ToString(a.DataType) != *want.DataType || aws.ToString(a.StringValue) != aws.ToString(want.StringValue) || !bytes.Equal(a.BinaryValue, want.BinaryValue) {
				t.Errorf("%s is %+v, want %+v", name, a, want)
			}
		}
		if n := aws.ToString(m.MessageAttributes["x-replay-count"].StringValue); n != "1" || len(m.MessageAttributes) != len(attributes)+3 {
			t.Errorf("replayed %s times: %v", n, m.MessageAttributes)
		}
	}
	for _, body := range bodies {
		if !got[body] {
			t.Errorf("lost: %s", body)
		}
	}

	logs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.jsonl"))
	if len(logs) != 1 {
		t.Fatal(logs)
	}
	content, err := os.ReadFile(logs[0])
	if err != nil || bytes.Contains(content, []byte("stu_1")) || bytes.Count(content, []byte(`"deleted"`)) < 12 {
		t.Errorf("%v: %s", err, content)
	}
	listed, _ := s.run(0, "history")
	contains(t, listed, strings.TrimSuffix(filepath.Base(logs[0]), ".jsonl"), "done, 0 left")

	s.run(nothing, "replay", s.short, "--all", "--confirm")
	s.run(nothing, "inspect", s.short)
}

func TestOnlyWhatMatchesGoes(t *testing.T) {
	t.Parallel()
	s := newShard(t, 3)
	s.rest(event("stu_1"), event("stu_2"), event("stu_3"), "no JSON")
	s.run(nothing, "replay", s.short, "--confirm", "--tenant", "other")
	s.wantDepths("nothing matched", 4, 0)
	_, errs := s.run(0, "replay", s.short, "--confirm", "--jq", `.body.subject == "student/stu_2"`, "--cause", "gave up after 5")
	s.wantDepths("one matched", 3, 1)
	if strings.Contains(errs, "jq failed") {
		t.Error(errs) // what another condition excludes is not shown to jq
	}
	out, errs := s.run(0, "replay", s.short, "--jq", `.body.subject | startswith("student/")`)
	contains(t, out, "2 would be sent", "1 do not match")
	contains(t, errs, "--jq failed at 1 messages")
	s.run(0, "replay", s.short, "--confirm", "--limit", "1", "--since", "1h", "--cause", "gave up")
	s.wantDepths("a limit", 2, 2)
	s.run(nothing, "replay", s.short, "--confirm", "--until", "1h")
	s.wantDepths("an hour ago", 2, 2)
}

func TestInspectShowsAndGivesBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 4)
	s.rest(event("stu_1"), event("stu_2"), event("stu_2"), event("stu_2"))
	s.send(s.dlq, "steer\u009b2Jme", map[string]types.MessageAttributeValue{
		"dead_letter_reason": {DataType: aws.String("String"), StringValue: aws.String("invalid at document (syntax): \u009b2J not JSON")},
	})
	out, _ := s.run(0, "inspect", s.short)
	contains(t, out, "iops-dashboard-fanout-4-dlq, which belong to iops-dashboard-fanout-4", "5 messages; 5 match",
		"       4  gave up after 5 receives", "       1  invalid at document (syntax): ?2J not JSON", "       4  METRIC_UPDATE", "       4  default", "       5  less than an hour",
		"student/stu_", "counts as a receive")
	if strings.Contains(out, "revision") || strings.Contains(out, "steer") || strings.Count(out, "old, received") != 4 {
		t.Errorf("bodies, or too many samples, in\n%s", out)
	}
	s.wantDepths("looked at", 5, 0)

	out, _ = s.run(0, "inspect", s.short, "--bodies", "--samples", "1", "--most", "1000")
	contains(t, out, "revision", `steer\u009b2Jme`)
	out, _ = s.run(0, "inspect", s.short, "--json", "--entity", "student/stu_2", "--samples", "0")
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Messages != 5 || r.Matched != 3 || r.More || len(r.Samples) != 0 ||
		!reflect.DeepEqual(r.Causes, []group{{"gave up after 5 receives", 3}}) {
		t.Errorf("%v: %s", err, out)
	}
	out, _ = s.run(0, "inspect", s.short, "--most", "2")
	contains(t, out, "2 messages were looked at, there may be more")
	s.wantDepths("looked at in all ways", 5, 0)
}

// The variables of .local/env name the queues; what SNS left goes to the queue, out of its envelope.
func TestUndeliveredGoesToItsQueue(t *testing.T) {
	t.Parallel()
	s := newShard(t, 5)
	body := event("stu_1")
	envelope, _ := json.Marshal(map[string]any{
		"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:000000000000:iops-dashboard-updates", "Message": body,
		"MessageAttributes": map[string]any{"type": map[string]string{"Type": "String", "Value": "METRIC_UPDATE"}},
	})
	s.send(s.other, string(envelope), nil)
	s.send(s.other, body, attributes)
	out, _ := s.run(0, "inspect", s.short+"-subscription")
	contains(t, out, "       2  SNS could not deliver it", "       2  default")
	s.run(0, "replay", s.other, "--all", "--confirm")
	s.wantDepths("undelivered", 0, 2)
	for _, m := range s.all(s.source) {
		if *m.Body != body || aws.ToString(m.MessageAttributes["type"].StringValue) != "METRIC_UPDATE" {
			t.Errorf("%s %v", *m.Body, m.MessageAttributes)
		}
	}
}

// The reason of one failure must not be taken for that of the next.
func TestAReasonDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 6)
	s.send(s.dlq, event("stu_1"), map[string]types.MessageAttributeValue{"dead_letter_reason": {DataType: aws.String("String"), StringValue: aws.String("because")}})
	s.run(0, "replay", s.short, "--confirm", "--cause", "BECAUSE")
	for _, m := range s.all(s.source) {
		if _, ok := m.MessageAttributes["dead_letter_reason"]; ok {
			t.Error(m.MessageAttributes)
		}
	}
	s.wantDepths("replayed", 0, 0)
}

// The stage of a queue that is named in full is that of all that goes with it.
func TestAQueueTellsItsStage(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	const account = "http://sqs/000000000000/"
	p, err := world{ctx: t.Context()}.find(account+"iops-dashboard-fanout-0-dlq-beta", stage{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Stage != "beta" || p.to != account+"iops-dashboard-fanout-0-beta" || p.quarantineURL != account+"iops-dashboard-quarantine-beta" {
		t.Errorf("stage %s, to %s, quarantine %s", p.Stage, p.to, p.quarantineURL)
	}
}
