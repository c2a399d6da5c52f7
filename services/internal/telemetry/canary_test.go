package telemetry_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/telemetry"
)

// The alarm on a canary's silence knows these names.
func TestCanaryHasItsMetrics(t *testing.T) {
	t.Parallel()
	r := telemetry.New("canary")
	c := telemetry.NewCanary(r)
	var out bytes.Buffer
	if err := r.Flush(&out); err != nil || out.Len() > 0 {
		t.Errorf("without a success it says %s, %v", &out, err)
	}
	c.Succeeded(1234 * time.Microsecond)
	if err := r.Flush(&out); err != nil {
		t.Fatal(err)
	}
	all := lines(t, out.String())
	if len(all) != 1 || all[0]["Service"] != "canary" || all[0]["CanarySuccess"] != 1.0 {
		t.Fatalf("it says %s", &out)
	}
	if latency, _ := all[0]["CanaryLatency"].([]any); len(latency) != 1 || latency[0] != 1.234 {
		t.Errorf("the latency is %v", all[0]["CanaryLatency"])
	}
}
