package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/services/internal/telemetry"
)

func TestAMissingVariableIsNamed(t *testing.T) {
	names := []string{"METRICS_TABLE", "TICKETS_TABLE", "WEBSOCKET_URL", "CANARY_TENANT", "METRICS_NAMESPACE"}
	for _, name := range names {
		t.Setenv(name, "")
	}
	_, err := wire(t.Context(), slog.New(slog.DiscardHandler), telemetry.New("canary"))
	for _, name := range names {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
