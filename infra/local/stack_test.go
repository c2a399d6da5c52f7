package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// TestStack runs the whole system once and breaks it in turn, on the real path: DynamoDB, stream,
// normalizer, SNS, SQS, fanout worker, gateway, WebSocket.
func TestStack(t *testing.T) {
	posts := &valve{}
	system := topology.Default()
	// What the worker held when it was killed comes back within a test's patience.
	for i, q := range system.Queues {
		if q.Name == fanoutQueue {
			system.Queues[i].Visibility = 18 * time.Second
		}
	}
	system.Workers[0].StopTimeout = 15 * time.Second
	system.Workers[0].Environment["FANOUT_VISIBILITY"] = topology.Ref{Kind: topology.Literal, Name: "18s"}
	stack := start(t, local.Options{Topology: system, Intercept: posts.wrap})
	c := newClients(stack.Env())

	t.Run("a write reaches a client that never says a word", func(t *testing.T) {
		ws := c.connect(t)
		c.update(t, "student", "stu_first", row{"health_score": 81.5, "segment": "healthy", "last_updated": "2026-11-22T10:00:00.123Z"})
		u := ws.waitFor(t, "stu_first")
		if u.Operation != "UPSERT" || u.Version.Revision != 1 || u.WrittenAt != "2026-11-22T10:00:00.123Z" {
			t.Errorf("got %+v", u)
		}
		if got := attributes(t, u); got["health_score"] != 81.5 || got["segment"] != "healthy" {
			t.Errorf("attributes are %v", got)
		}
	})

	t.Run("two clients see the same, and a removal", func(t *testing.T) {
		one, two := c.connect(t), c.connect(t)
		c.update(t, "tutor", "tut_pair", row{"avg_rating": 4.75})
		a, b := one.waitFor(t, "tut_pair"), two.waitFor(t, "tut_pair")
		if a.Version != b.Version {
			t.Errorf("versions differ: %+v and %+v", a.Version, b.Version)
		}
		c.remove(t, "tutor", "tut_pair")
		for _, ws := range []*client{one, two} {
			if u := ws.waitFor(t, "tut_pair"); u.Operation != "REMOVE" || u.Reason != "DELETED" || u.Version.Revision != a.Version.Revision+1 {
				t.Errorf("got %+v, want a removal one revision on", u)
			}
		}
	})

	t.Run("an insight reaches a client, and its end", func(t *testing.T) {
		ws := c.connect(t)
		id := contracts.InsightID{Pk: "insight#stu_found", Sk: "2026-11-22T10:00:00.123Z"}
		c.find(t, row{
			"pk": id.Pk, "sk": id.Sk, "alert_id": "alert_81c2", "entity_id": "stu_found", "entity_type": "student",
			"prediction_type": "low_health_score", "risk_score": 84, "explanation": "Health is 47.", "recommendations": []string{"Call today"},
			"timestamp": id.Sk, "model_used": "rules-2026.11", "ttl": 4102444800, "called_by": "nobody's business",
		})
		u := ws.waitForInsight(t, id.Pk)
		if u.InsightID != id || u.Operation != "UPSERT" || u.Version.Revision != 1 || u.WrittenAt != id.Sk {
			t.Errorf("got %+v", u)
		}
		if got := object(t, u.Attributes); len(got) != 10 || got["risk_band"] != "critical" || got["explanation"] != "Health is 47." {
			t.Errorf("attributes are %v", got)
		}
		c.forget(t, id)
		if u := ws.waitForInsight(t, id.Pk); u.InsightID != id || u.Operation != "REMOVE" || u.Reason != "DELETED" || u.Version.Revision != 2 {
			t.Errorf("got %+v, want a removal one revision on", u)
		}
	})

	t.Run("items of other kinds in the insights table are nobody's insights", func(t *testing.T) {
		ws := c.connect(t)
		before := strings.Count(readLog(t, stack, "iops-dashboard-normalizer"), `"msg":"batch"`)
		c.find(t, row{"pk": "note#stu_found", "sk": "2026-11-22T10:00:00.123Z", "text": "no insight"})
		c.find(t, row{"pk": "Insight#stu_found", "sk": "2026-11-22T10:00:00.123Z", "text": "no insight"})
		at := "2026-11-22T10:00:01.123Z"
		c.find(t, row{"pk": "insight#stu_behind", "sk": at, "entity_id": "stu_behind", "prediction_type": "low_health_score", "risk_score": 70, "timestamp": at})
		ws.waitForInsight(t, "insight#stu_behind")
		eventually(t, "the normalizer to say what it did", func() bool {
			return strings.Count(readLog(t, stack, "iops-dashboard-normalizer"), `"msg":"batch"`) > before
		})
		if log := readLog(t, stack, "iops-dashboard-normalizer"); strings.Contains(log, `"msg":"quarantined"`) {
			t.Errorf("they are quarantined: %s", log)
		}
	})

	t.Run("a client that closes leaves the registry", func(t *testing.T) {
		eventually(t, "the rows of earlier clients to go", func() bool { return c.viewRows(t) == 0 })
		ws := c.connect(t)
		if n := c.viewRows(t); n != 1 {
			t.Errorf("%d rows for one open connection", n)
		}
		ws.close(t)
		eventually(t, "its row to go", func() bool { return c.viewRows(t) == 0 })
	})

	t.Run("sixty dashboards open and close at once", func(t *testing.T) {
		before := c.viewRows(t)
		var opening, closing sync.WaitGroup
		sockets := make(chan *websocket.Conn, 60)
		for range cap(sockets) {
			opening.Go(func() {
				conn, _, err := websocket.Dial(t.Context(), c.env["WEBSOCKET_URL"], nil)
				if err != nil {
					t.Errorf("turned away: %v", err)
					return
				}
				sockets <- conn
			})
		}
		opening.Wait()
		close(sockets)
		for conn := range sockets {
			closing.Go(func() { _ = conn.Close(websocket.StatusNormalClosure, "") })
		}
		closing.Wait()
		eventually(t, "no row of them", func() bool { return c.viewRows(t) == before })
	})

	t.Run("an attribute that no schema names does not leave the table", func(t *testing.T) {
		ws := c.connect(t)
		c.update(t, "student", "stu_private", row{"health_score": 50, "home_address": "nobody's business"})
		u := ws.waitFor(t, "stu_private")
		if got := attributes(t, u); len(got) != 1 {
			t.Errorf("attributes are %v, want health_score alone", got)
		}
		eventually(t, "the count of what was dropped", func() bool {
			return strings.Contains(readLog(t, stack, "iops-dashboard-normalizer"), "home_address")
		})
	})

	t.Run("a row that breaks the schema is quarantined, the next arrives", func(t *testing.T) {
		ws := c.connect(t)
		c.update(t, "student", "stu_bad", row{"health_score": 250})
		c.update(t, "student", "stu_next", row{"health_score": 25})
		ws.waitFor(t, "stu_next")
		body := c.receive(t, "QUARANTINE_QUEUE_URL")
		if !strings.Contains(body, "health_score") || !strings.Contains(body, "stu_bad") || !strings.Contains(body, "250") {
			t.Errorf("quarantined without its reason or payload: %s", body)
		}
		if ws.saw("stu_bad") {
			t.Error("the bad row was shown")
		}
	})

	t.Run("a message that is no event goes to the dead letters, the next arrives", func(t *testing.T) {
		ws := c.connect(t)
		c.publish(t, `{"this is": "no event"}`)
		c.update(t, "student", "stu_after", row{"health_score": 33})
		ws.waitFor(t, "stu_after")
		if body := c.receive(t, "FANOUT_DLQ_URL"); !strings.Contains(body, "no event") {
			t.Errorf("the dead letter is %s", body)
		}
	})

	t.Run("the fanout worker is killed between receive and delete", func(t *testing.T) {
		ws := c.connect(t)
		held := posts.hold()
		c.update(t, "student", "stu_killed", row{"health_score": 12})
		<-held.reached // the worker has received and posts
		worker := processNamed(t, stack, fanoutQueue)
		old := worker.PID()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		close(held.open)
		ws.waitFor(t, "stu_killed")
		if worker.PID() == old {
			t.Error("the worker was not started again")
		}
	})

	t.Run("a frozen function that is killed is replaced", func(t *testing.T) {
		killSandboxes(t, stack, "iops-dashboard-normalizer")
		ws := c.connect(t)
		c.update(t, "region", "reg_replaced", row{"health_score": 44})
		ws.waitFor(t, "reg_replaced")
	})

	t.Run("functions answer Invoke", func(t *testing.T) {
		payload := post(t, stack.Env()["AWS_ENDPOINT_URL_LAMBDA"]+"/2015-03-31/functions/iops-dashboard-normalizer/invocations", `{"Records":[]}`)
		if !strings.Contains(payload, "batchItemFailures") {
			t.Errorf("the normalizer answers %s", payload)
		}
	})

	t.Run("a second system in the same folder is refused", func(t *testing.T) {
		_, err := local.Start(t.Context(), local.Options{Root: root, Dir: filepath.Dir(stack.EnvFile())})
		if err == nil || !strings.Contains(err.Error(), "already running") {
			t.Errorf("Start() = %v", err)
		}
		if _, err := os.Stat(stack.EnvFile()); err != nil {
			t.Errorf("the first one has lost its env file: %v", err)
		}
	})
}

func TestDeadServerEndsTheSystem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dynoxide", "fauxqs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stack := start(t, local.Options{})
			if err := syscall.Kill(processNamed(t, stack, name).PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-stack.Failed():
				if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
					t.Errorf("the fault is %q, want one line that names %s", err, name)
				}
			case <-time.After(patience):
				t.Fatal("nobody noticed")
			}
			stack.Close()
			stack.Close()
			for _, p := range stack.Processes() {
				select {
				case <-p.Done():
				default:
					t.Errorf("%s is still running", p.Name())
				}
			}
			if _, err := os.Stat(stack.EnvFile()); err == nil {
				t.Error("the env file outlives the system")
			}
		})
	}
}

func TestBusyPortIsSaidAndNothingStays(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{})
	var busy int
	if _, err := fmt.Sscanf(stack.Env()["WEBSOCKET_URL"], "ws://127.0.0.1:%d/prod", &busy); err != nil {
		t.Fatal(err)
	}
	_, err := local.Start(t.Context(), local.Options{Root: root, Dir: t.TempDir(), GatewayPort: busy})
	if err == nil || !strings.Contains(err.Error(), "--gateway-port") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Start() = %v, want one line that says what to do", err)
	}
}

// Four shards, and functions in the place of workers: everybody gets everything, once.
func TestOtherTopologies(t *testing.T) {
	for name, o := range map[string]topology.Options{
		"four workers":   {Shards: 4},
		"four functions": {Shards: 4, FanoutFunction: true},
		"one function":   {FanoutFunction: true},
	} {
		t.Run(name, func(t *testing.T) {
			stack := start(t, local.Options{Topology: topology.New(o)})
			c := newClients(stack.Env())
			var sockets []*client
			for range 12 {
				sockets = append(sockets, c.connect(t))
			}
			var ids []string
			for n := range 5 {
				ids = append(ids, fmt.Sprint("stu_", n))
				c.update(t, "student", ids[n], row{"health_score": 60 + n})
			}
			for _, ws := range sockets {
				for id, u := range ws.waitForAll(t, ids) {
					if u.Version.Revision != 1 || u.Operation != "UPSERT" {
						t.Errorf("%s: got %+v", id, u)
					}
				}
			}
			// What comes after it shows that there was no second of anything.
			c.update(t, "student", "stu_last", row{"health_score": 99})
			for i, ws := range sockets {
				if u := ws.waitFor(t, "stu_last"); u.Version.Revision != 1 {
					t.Errorf("got %+v", u)
				}
				if got := ws.times("stu_0"); got != 1 {
					t.Errorf("client %d got stu_0 %d times", i, got)
				}
			}
		})
	}
}
