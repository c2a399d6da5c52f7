// Package quarantinetest is the conformance suite of the quarantine port. Every adapter runs it.
package quarantinetest

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/quarantine"
)

// Harness is an empty quarantine under test.
type Harness struct {
	Quarantine quarantine.Quarantine
	// Kept returns what was kept since the start, once there are at least n records, in any order.
	Kept func(ctx context.Context, n int) ([]quarantine.Record, error)
}

// Run puts the quarantines that newHarness makes through the suite.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"WhatCannotFitIsRefused", tooLarge},
		{"EndedContext", ended},
		{"ARecordIsKeptWhole", whole},
		{"ARecordOfWhichNothingIsKnown", bare},
		{"PayloadsThatAreNotJSON", notJSON},
		{"LargePayloads", large},
		{"TheSameRecordTwice", twice},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

// Record returns a record with all that is known of it.
func Record() quarantine.Record {
	return quarantine.Record{
		Payload:     []byte(`{"eventID":"e1","dynamodb":{"NewImage":{"health_score":{"N":"101"},"name":{"S":"<&> \" \u0000 München 東京` + "\uffff\ufffe" + `"}}}}`),
		Reason:      quarantine.Reason{Code: "maximum", Pointer: "/dynamodb/NewImage/health_score", Message: "must be at most 100, not 101"},
		At:          time.Date(2026, 11, 22, 10, 0, 0, 123_000_000, time.UTC),
		Source:      "arn:aws:dynamodb:us-east-1:123456789012:table/iops-dashboard-metrics/stream/2026-11-22T10:00:00.000",
		EventID:     "f07f8ca4b0b26cb9c4e5e77e69f274ee",
		Sequence:    "1405400000000002063282832",
		Tenant:      "acme",
		EntityType:  "student",
		EntityID:    "stu_1 \uffff",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func tooLarge(t *testing.T, h Harness) {
	r := Record()
	r.Payload = noise(3 << 20)
	if err := h.Quarantine.Put(t.Context(), r); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("%v, want kind too_large", err)
	}
	want(t, h)
}

func ended(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Quarantine.Put(ctx, Record()); err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("%v, want kind transient", err)
	}
}

func whole(t *testing.T, h Harness) {
	put(t, h, Record())
	want(t, h, Record())
}

func bare(t *testing.T, h Harness) {
	r := quarantine.Record{Payload: []byte(`7`), Reason: quarantine.Reason{Code: "type"}, At: Record().At}
	put(t, h, r)
	want(t, h, r)
}

func notJSON(t *testing.T, h Harness) {
	for _, payload := range []string{"{", "\xff\x00", ""} {
		r := Record()
		r.Payload = []byte(payload)
		put(t, h, r)
	}
	got := kept(t, h, 3)
	found := map[string]bool{}
	for _, r := range got {
		found[string(r.Payload)] = true
	}
	if len(got) != 3 || !found["{"] || !found["\xff\x00"] || !found[""] {
		t.Errorf("kept %+v", got)
	}
}

func large(t *testing.T, h Harness) {
	r := Record()
	r.Payload = []byte(`{"text":"` + strings.Repeat("the same again ", 60_000) + `"}`)
	put(t, h, r)
	want(t, h, r)
}

func twice(t *testing.T, h Harness) {
	put(t, h, Record())
	put(t, h, Record())
	want(t, h, Record(), Record())
}

// noise is a JSON text that does not compress.
func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := bytes.NewBufferString(`"`)
	for range n {
		b.WriteByte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[random.IntN(64)])
	}
	b.WriteByte('"')
	return b.Bytes()
}

func put(t *testing.T, h Harness, r quarantine.Record) {
	t.Helper()
	if err := h.Quarantine.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, h Harness, n int) []quarantine.Record {
	t.Helper()
	got, err := h.Kept(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// want compares payloads as JSON: their spacing may change on the way.
func want(t *testing.T, h Harness, all ...quarantine.Record) {
	t.Helper()
	got := kept(t, h, len(all))
	if len(got) != len(all) {
		t.Fatalf("kept %d records, want %d", len(got), len(all))
	}
	for i := range all {
		g, w := got[i], all[i]
		if !bytes.Equal(plain(t, g.Payload), plain(t, w.Payload)) {
			t.Errorf("payload %.300s, want %.300s", g.Payload, w.Payload)
		}
		if !g.At.Equal(w.At) {
			t.Errorf("at %v, want %v", g.At, w.At)
		}
		if g.Reason != w.Reason || g.Source != w.Source || g.EventID != w.EventID || g.Sequence != w.Sequence ||
			g.Tenant != w.Tenant || g.EntityType != w.EntityType || g.EntityID != w.EntityID || g.TraceParent != w.TraceParent {
			t.Errorf("record %+v, want %+v", g, w)
		}
	}
}

func plain(t *testing.T, payload []byte) []byte {
	t.Helper()
	var tree any
	if err := json.Unmarshal(payload, &tree); err != nil {
		t.Fatalf("the payload is no JSON any more: %v", err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
