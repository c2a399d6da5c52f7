package filter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

var sent = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func letter() deadletter.Letter {
	return deadletter.Letter{Cause: "gave up after 5 receives", Type: "METRIC_UPDATE", Tenant: "acme", Entity: "student/stu_1", SentAt: sent}
}

func message() redrive.Message {
	return redrive.Message{
		ID: "m1", Body: `{"type":"METRIC_UPDATE","data":{"sequence":300000000000000499659,"changed":["a","b"]}}`,
		Attributes: map[string]redrive.Attribute{
			"type": {Type: "String", Value: []byte("METRIC_UPDATE")}, "size": {Type: "Number", Value: []byte("3")}, "raw": {Type: "Binary", Value: []byte{0xff}},
		},
		System: map[string]string{"ApproximateReceiveCount": "6"},
	}
}

func match(t *testing.T, o filter.Options, l deadletter.Letter, m redrive.Message) bool {
	t.Helper()
	f, err := filter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := f.Match(t.Context(), l, m)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestEachCondition(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		o    filter.Options
		want bool
	}{
		{filter.Options{}, true},
		{filter.Options{ID: "m1"}, true},
		{filter.Options{ID: "m"}, false},
		{filter.Options{Since: sent}, true},
		{filter.Options{Since: sent.Add(1)}, false},
		{filter.Options{Until: sent.Add(1)}, true},
		{filter.Options{Until: sent}, false},
		{filter.Options{Cause: "Gave UP"}, true},
		{filter.Options{Cause: "unreadable"}, false},
		{filter.Options{Entity: "student/stu_1"}, true},
		{filter.Options{Entity: "student/stu_10"}, false},
		{filter.Options{Entity: "student/stu_"}, false},
		{filter.Options{Tenant: "acme"}, true},
		{filter.Options{Tenant: "acm"}, false},
		{filter.Options{JQ: `.body.type == "METRIC_UPDATE"`}, true},
		{filter.Options{JQ: `.body.type == "OTHER"`}, false},
		{filter.Options{JQ: `select(.body.type == "OTHER")`}, false},
		{filter.Options{JQ: `.body.data.changed[] == "b"`}, true}, // any result is enough
		{filter.Options{JQ: `.body.data.changed[] == "c"`}, false},
		{filter.Options{JQ: `.body.data.sequence == 300000000000000499659`}, true},
		{filter.Options{JQ: `.body.data.sequence == 300000000000000499658`}, false}, // equal as float64
		{filter.Options{JQ: `.attributes.size == "3" and .attributes.raw == "/w=="`}, true},
		{filter.Options{JQ: `.system.ApproximateReceiveCount | tonumber > 5`}, true},
		{filter.Options{JQ: `.id == "m1"`}, true},
		{filter.Options{JQ: `.cause | test("5 receives")`}, true},
		{filter.Options{JQ: `.body.none`}, false},
		{filter.Options{JQ: `empty`}, false},
		{filter.Options{JQ: `$ENV | length > 0`}, false},
	} {
		if got := match(t, tc.o, letter(), message()); got != tc.want {
			t.Errorf("%+v: %v", tc.o, got)
		}
	}
	m := message()
	m.Body = "no JSON"
	if !match(t, filter.Options{JQ: `.body == "no JSON"`}, letter(), m) {
		t.Error("a body that is no JSON is no text either")
	}
}

// All conditions must hold: together they match where each of them does.
func TestConditionsAreANDed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := filter.Options{
			JQ:     rapid.SampledFrom([]string{"", ".body.type", ".body.none"}).Draw(t, "jq"),
			ID:     rapid.SampledFrom([]string{"", "m1", "m"}).Draw(t, "id"),
			Since:  rapid.SampledFrom([]time.Time{{}, sent, sent.Add(time.Hour)}).Draw(t, "since"),
			Until:  rapid.SampledFrom([]time.Time{{}, sent.Add(2 * time.Hour)}).Draw(t, "until"),
			Cause:  rapid.SampledFrom([]string{"", "gave", "other"}).Draw(t, "cause"),
			Entity: rapid.SampledFrom([]string{"", "student/stu_1", "student/stu_2"}).Draw(t, "entity"),
			Tenant: rapid.SampledFrom([]string{"", "acme", "other"}).Draw(t, "tenant"),
		}
		of := func(o filter.Options) bool {
			f, err := filter.New(o)
			if err != nil {
				t.Fatal(err)
			}
			ok, err := f.Match(context.Background(), letter(), message())
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		want := of(filter.Options{JQ: all.JQ}) && of(filter.Options{ID: all.ID}) && of(filter.Options{Since: all.Since}) && of(filter.Options{Until: all.Until}) &&
			of(filter.Options{Cause: all.Cause}) && of(filter.Options{Entity: all.Entity}) && of(filter.Options{Tenant: all.Tenant})
		if got := of(all); got != want {
			t.Fatalf("%+v: %v", all, got)
		}
	})
}

func TestWhatIsRefusedSaysWhere(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o    filter.Options
		says []string
	}{
		"token":         {filter.Options{JQ: ".body ]"}, []string{"--jq: ", `"]"`, "line 1, column 7\n  .body ]\n        ^"}},
		"end":           {filter.Options{JQ: ".body |"}, []string{"unexpected EOF", "line 1, column 8"}},
		"second line":   {filter.Options{JQ: ".body\n| \"ü\" ) 1"}, []string{"line 2, column 7\n  | \"ü\" ) 1\n        ^"}},
		"no function":   {filter.Options{JQ: "nonsense(1)"}, []string{"--jq: ", "nonsense/1"}},
		"no variable":   {filter.Options{JQ: "$x"}, []string{"--jq: ", "$x"}},
		"a module":      {filter.Options{JQ: `import "a" as a; 1`}, []string{"--jq: "}},
		"further input": {filter.Options{JQ: `input`}, []string{"--jq: ", "input"}},
		"entity":        {filter.Options{Entity: "stu_1"}, []string{`"stu_1"`, "student/stu_4532"}},
		"half entity":   {filter.Options{Entity: "/stu_1"}, []string{"want a type"}},
		"no time":       {filter.Options{Since: sent, Until: sent}, []string{"--until"}},
	} {
		_, err := filter.New(tc.o)
		for _, says := range tc.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
		}
	}
}

// A message at which the program fails is not chosen, and is told of; it does not end the run.
func TestAFailingProgramIsToldOf(t *testing.T) {
	t.Parallel()
	f, err := filter.New(filter.Options{JQ: ".body.data.changed.x"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := f.Match(t.Context(), letter(), message()); ok || err != nil {
			t.Error(ok, err)
		}
	}
	if n, first := f.Failed(); n != 2 || first != "m1" {
		t.Error(n, first)
	}
}

func TestAnEndlessProgramIsStopped(t *testing.T) {
	t.Parallel()
	f, err := filter.New(filter.Options{JQ: "[recurse] | last(repeat(1))"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if ok, err := f.Match(t.Context(), letter(), message()); ok || err == nil || !strings.Contains(err.Error(), "longer than 1s for message m1") {
		t.Error(ok, err)
	}
	if took := time.Since(began); took < filter.Patience || took > 10*filter.Patience {
		t.Error(took)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Match(ctx, letter(), message()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
