package session_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iops-dashboard/live/services/internal/registry"
)

// Whoever is told to move has room for its next connection: the registry counts it as one that moves by then.
func TestWhoIsToldToMoveCountsAsOneThatMoves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ permission, before, step time.Duration }{
		"for its lifetime": {0, 103 * time.Minute, 30 * time.Second},
		"for an hour":      {time.Hour, 58 * time.Minute, 10 * time.Second},
		"for a minute":     {time.Minute, 0, 5 * time.Second},
		"for longer":       {109 * time.Minute, 103 * time.Minute, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				moving := map[string]registry.Connection{}
				for n := range 8 {
					c := registry.Connection{ID: fmt.Sprint("c", n), Tenant: "acme", ConnectedAt: time.Now()}
					if tc.permission > 0 {
						c.Until = c.ConnectedAt.Add(tc.permission)
					}
					if err := r.registry.Open(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					r.gateway.Open(c.ID)
					moving[c.ID] = c
				}
				time.Sleep(tc.before)
				for n := 1; len(moving) > 0; n++ {
					for id, c := range moving {
						if n == 1 && c.Moves(time.Now()) {
							t.Fatal("it moves long before it is told")
						}
						r.sync(id, n, everything, "")
						if got := r.brief(id); !strings.HasPrefix(got[len(got)-1], "RECONNECT") {
							continue
						}
						if !c.Moves(time.Now()) {
							t.Errorf("%s is told to move after %v", id, time.Since(c.ConnectedAt))
						}
						delete(moving, id)
					}
					time.Sleep(tc.step)
				}
			})
		})
	}
}
