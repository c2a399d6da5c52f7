package local_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

const canaryFunction = "iops-dashboard-canary"

// TestCanary runs the whole system with the page that it is of itself: its schedule has it succeed, nobody else sees it, and
// when nothing is posted any more, it says so.
func TestCanary(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{Topology: topology.New(topology.Options{Auth: topology.AuthTicket}), Origins: []string{page}})
	v := &visitors{clients: newClients(stack.Env())}
	ws := v.enter(t, "ada", "acme")
	colleague := v.enter(t, "eve", topology.CanaryTenant)

	eventually(t, "the schedule to have it succeed", func() bool {
		log, err := os.ReadFile(filepath.Join(stack.LogDir(), canaryFunction+".log"))
		return err == nil && strings.Contains(string(log), `"CanarySuccess":1`)
	})
	if answer := v.fly(t); answer != "null" {
		t.Errorf("it answers %s", answer)
	}
	u := colleague.waitFor(t, "canary")
	if u.EntityType != "student" || len(attributes(t, u)) != 2 {
		t.Errorf("its tenant is shown %+v", u)
	}
	v.update(t, "student", "stu_marker", row{"health_score": 1, "tenant": "acme"})
	ws.waitFor(t, "stu_marker")
	if ws.saw("canary") {
		t.Error("another tenant is shown it")
	}
	eventually(t, "its connections to be gone", func() bool { return len(v.rows(t, "subject#"+topology.CanaryTenant+"#canary")) == 0 })

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	processNamed(t, stack, fanoutQueue).Stop(ctx)
	began := time.Now()
	answer := v.fly(t)
	if took := time.Since(began); !strings.Contains(answer, "canary.frame: transient") || took > 30*time.Second {
		t.Errorf("without a fanout it says %s after %s", answer, took)
	}
	if log := readLog(t, stack, canaryFunction); !strings.Contains(log, `"stage":"canary.frame"`) || strings.Contains(log, "ticket=") {
		t.Errorf("it logs %s", log)
	}
}

// fly has the canary run, when its schedule leaves it.
func (v *visitors) fly(t *testing.T) (answer string) {
	t.Helper()
	eventually(t, "its schedule to leave the canary", func() bool {
		response, err := http.Post(v.env["AWS_ENDPOINT_URL_LAMBDA"]+"/2015-03-31/functions/"+canaryFunction+"/invocations", "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK && response.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d, %v: %s", response.StatusCode, err, b)
		}
		answer = string(bytes.TrimSpace(b))
		return response.StatusCode == http.StatusOK
	})
	return answer
}
