package session_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/session"
)

// A table that yields rows of another tenant is counted, and nothing that was read is shown.
func TestRowsOfAnotherTenantAreKeptBack(t *testing.T) {
	t.Parallel()
	crossed := 0
	var table *mixing
	r := newRig(t, func(c *session.SyncConfig) {
		table = &mixing{Table: c.State}
		c.State, c.Crossed = table, func(rows int) { crossed += rows }
	})
	r.open("acme", id)
	for n := range 3 {
		r.put("acme", "student", fmt.Sprint("stu_", n), `{"health_score":1}`)
		r.put("umbrella", "student", fmt.Sprint("stu_theirs_", n), `{"segment":"healthy"}`)
	}
	r.sync(id, 1, everything, "")
	digest := r.digest(id)
	table.with = "umbrella"
	r.sync(id, 2, `[{"entity_type":"student"}]`, digest)
	r.sync(id, 3, `[{"entity_type":"student","where":[{"attribute":"segment","operator":"eq","value":"healthy"}]}]`, "")
	r.wantAnswers(id, "SNAPSHOT 1 1/1 student/stu_0@1 student/stu_1@1 student/stu_2@1", "ERROR 2 UNAVAILABLE", "ERROR 3 UNAVAILABLE")
	if crossed != 6 {
		t.Errorf("%d crossings are counted, want 6", crossed)
	}
	if log := r.log.String(); strings.Count(log, `"kind":"internal","error":"session.Sync: internal: 3 rows were read that are another tenant's, or hidden"`) != 2 || strings.Contains(log, "theirs") {
		t.Errorf("the log tells: %s", log)
	}
	table.with = ""
	r.sync(id, 4, `[{"entity_type":"student"}]`, "")
	r.wantAnswers(id, "SNAPSHOT 4 1/1 student/stu_0@1 student/stu_1@1 student/stu_2@1")
}

// Nor is what is of a type that the connection may not see.
func TestRowsOfHiddenTypesAreKeptBack(t *testing.T) {
	t.Parallel()
	crossed := 0
	r := newRig(t, func(c *session.SyncConfig) {
		c.State, c.Crossed = &mixing{Table: c.State, types: []string{"student"}}, func(rows int) { crossed += rows }
	})
	r.gateway.Open(id)
	c := registry.Connection{ID: id, Tenant: "acme", ConnectedAt: time.Now(), EntityTypes: []string{"tutor"}}
	if err := r.registry.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r.put("acme", "tutor", "tut_0", `{}`)
	r.put("acme", "student", "stu_0", `{}`)
	r.sync(id, 1, `[{"entity_type":"tutor"}]`, "") // which matches no student
	r.sync(id, 2, everything, "")
	r.wantAnswers(id, "SNAPSHOT 1 1/1 tutor/tut_0@1", "ERROR 2 UNAVAILABLE")
	if crossed != 1 {
		t.Errorf("%d rows are counted, want 1", crossed)
	}
}

// mixing is a table whose lists and latest rows hold the rows of another tenant, too, and of other types.
type mixing struct {
	state.Table
	with  string
	types []string
}

func (m *mixing) List(ctx context.Context, r state.Range) iter.Seq2[[]state.Entry, error] {
	return func(yield func([]state.Entry, error) bool) {
		ranges := []state.Range{r, {Tenant: m.with, EntityType: r.EntityType, From: r.From}}
		for _, entityType := range m.types {
			ranges = append(ranges, state.Range{Tenant: r.Tenant, EntityType: entityType})
		}
		for _, r := range ranges {
			for page, err := range m.Table.List(ctx, r) {
				if !yield(page, err) {
					return
				}
			}
		}
	}
}

func (m *mixing) Latest(ctx context.Context, r state.Range, limit int) ([]state.Entry, string, error) {
	all, from, err := m.Table.Latest(ctx, r, limit)
	if err != nil {
		return nil, "", err
	}
	more, _, err := m.Table.Latest(ctx, state.Range{Tenant: m.with, EntityType: r.EntityType, From: r.From}, limit)
	return append(all, more...), from, err
}
