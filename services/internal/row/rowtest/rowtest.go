// Package rowtest is the conformance suite of the row port. Every adapter runs it.
package rowtest

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/row"
)

// Table is an empty table, and how to look at what is in it: all of a row, with numbers as float64.
type Table struct {
	row.Writer
	Read func(entityType contracts.EntityType, id string) (row.Row, bool)
}

// Run puts the empty tables that newTable makes through the suite.
func Run(t *testing.T, newTable func(t *testing.T) Table) {
	for name, test := range map[string]func(*testing.T, Table){
		"ARowIsWritten":         written,
		"OtherAttributesStay":   others,
		"EntitiesAreApart":      apart,
		"WhatBreaksItsSchema":   invalid,
		"InAnEndedContext":      ended,
		"TheRowIsNotTheCallers": kept,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newTable(t))
		})
	}
}

func student() row.Row {
	return row.Row{
		EntityType: contracts.EntityTypeStudent, EntityID: "stu_1 東京", Tenant: "acme",
		Attributes: map[string]any{"health_score": 71.25, "segment": "healthy", "sessions_7d": 3, "last_updated": "2026-11-22T10:00:00.123Z"},
	}
}

func write(t *testing.T, table Table, r row.Row) {
	t.Helper()
	if err := table.Write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, table Table, r row.Row) {
	t.Helper()
	got, ok := table.Read(r.EntityType, r.EntityID)
	for _, attributes := range []map[string]any{got.Attributes, r.Attributes} {
		for name, value := range attributes {
			if n, ok := value.(int); ok {
				attributes[name] = float64(n)
			}
		}
	}
	if !ok || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %t, want %+v", got, ok, r)
	}
}

func written(t *testing.T, table Table) {
	write(t, table, student())
	want(t, table, student())
}

func others(t *testing.T, table Table) {
	write(t, table, student())
	next := student()
	next.Tenant, next.Attributes = "umbrella", map[string]any{"health_score": 12.5}
	write(t, table, next)
	all := student()
	all.Tenant, all.Attributes["health_score"] = "umbrella", 12.5
	want(t, table, all)
}

func apart(t *testing.T, table Table) {
	tutor, other := student(), student()
	tutor.EntityType, tutor.Attributes = contracts.EntityTypeTutor, map[string]any{"avg_rating": 4.5}
	other.EntityID, other.Attributes = "stu_2", map[string]any{"health_score": 0.0}
	write(t, table, student())
	write(t, table, tutor)
	write(t, table, other)
	want(t, table, student())
	want(t, table, tutor)
	want(t, table, other)
}

func invalid(t *testing.T, table Table) {
	for name, spoil := range map[string]func(*row.Row){
		"no type":              func(r *row.Row) { r.EntityType = "" },
		"no such type":         func(r *row.Row) { r.EntityType = "insight" },
		"no id":                func(r *row.Row) { r.EntityID = "" },
		"a long id":            func(r *row.Row) { r.EntityID = strings.Repeat("é", 257) },
		"no tenant":            func(r *row.Row) { r.Tenant = "" },
		"a tenant of two keys": func(r *row.Row) { r.Tenant = "acme#student" },
		"nothing to write":     func(r *row.Row) { r.Attributes = nil },
		"a score of 101":       func(r *row.Row) { r.Attributes["health_score"] = 101.0 },
		"no such attribute":    func(r *row.Row) { r.Attributes["home_address"] = "x" },
		"a number for a text":  func(r *row.Row) { r.Attributes["segment"] = 1.0 },
		"another sort":         func(r *row.Row) { r.Attributes["health_score"] = int64(7) },
	} {
		r := student()
		spoil(&r)
		if err := table.Write(t.Context(), r); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want kind invalid", name, err)
		}
		if got, ok := table.Read(r.EntityType, r.EntityID); ok {
			t.Errorf("%s: %+v was written", name, got)
		}
	}
}

func ended(t *testing.T, table Table) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Write(ctx, student()); err == nil || fault.KindOf(err) != fault.Transient {
		t.Errorf("%v, want kind transient", err)
	}
	if _, ok := table.Read(contracts.EntityTypeStudent, student().EntityID); ok {
		t.Error("it was written")
	}
}

func kept(t *testing.T, table Table) {
	r := student()
	write(t, table, r)
	r.Attributes["health_score"] = 1.0
	want(t, table, student())
}
