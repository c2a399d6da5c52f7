package fanout

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/queue"
)

func TestHalfFailedDelete(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failures  int
		undeleted int
		want      string
	}{
		"that passes": {2, 0, "stu_1@1"},
		"that stays":  {3, 1, "stu_1@1 | stu_1@1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(r *rig) {
				r.connect("default", "a", grown)
				id := r.send("stu_1", 1)
				var calls atomic.Int64
				r.queue.OnDelete = func(m queue.Message) error {
					if m.ID == id && calls.Add(1) <= int64(tc.failures) {
						return failure(fault.Transient)
					}
					return nil
				}
				r.start()
				pass(5 * time.Second)
				r.wantQueue(tc.undeleted, 0)
				pass(30 * time.Second)
				r.wantFrames("a", tc.want)
				r.wantQueue(0, 0)
			})
		})
	}
}

// One that can never be deleted does not keep the others from their next try.
func TestDeleteThatFailsInTwoWays(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		hopeless, unlucky := r.send("stu_1", 1), r.send("stu_2", 1)
		var calls atomic.Int64
		r.queue.OnDelete = func(m queue.Message) error {
			switch {
			case m.ID == hopeless:
				return failure(fault.Invalid)
			case m.ID == unlucky && calls.Add(1) == 1:
				return failure(fault.Transient)
			}
			return nil
		}
		r.start()
		pass(5 * time.Second)
		if got := r.queue.Waiting(); len(got) != 1 || got[0].ID != hopeless {
			t.Errorf("left: %v", got)
		}
	})
}

func TestMalformedMessageAmongGoodOnes(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		attributes := map[string]queue.Attribute{"tenant": queue.Text("default")}
		r.send("stu_1", 1)
		r.queue.Send(`{"canary":`, attributes)
		r.send("stu_1", 2)
		r.start()
		r.wantFrames("a", "stu_1@2")
		r.wantQueue(0, 1)
		dead := r.queue.Dead()[0]
		if dead.Body != `{"canary":` || dead.Attributes["tenant"] != attributes["tenant"] || dead.Attributes[queue.ReasonAttribute].Value == "" {
			t.Errorf("dead letter %+v", dead)
		}
	})
}

func TestDeadLetterQueueThatIsDown(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(r *rig) {
		r.connect("default", "a", grown)
		var broken atomic.Bool
		broken.Store(true)
		r.queue.OnDeadLetter = func(queue.Message) error {
			if broken.Load() {
				return failure(fault.Transient)
			}
			return nil
		}
		r.send("stu_1", 1)
		r.queue.Send("not JSON", nil)
		r.start()
		r.wantFrames("a", "stu_1@1")
		r.wantQueue(1, 0)
		broken.Store(false)
		pass(31 * time.Second)
		r.wantQueue(0, 1)
	})
}
