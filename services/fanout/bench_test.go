package fanout

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/iops-dashboard/live/services/internal/gateway"
	"github.com/iops-dashboard/live/services/internal/queue"
	"github.com/iops-dashboard/live/services/internal/queue/memqueue"
	"github.com/iops-dashboard/live/services/internal/registry"
	"github.com/iops-dashboard/live/services/internal/registry/memregistry"
)

// BenchmarkRound brings ten updates to connections that cost nothing, from decode to delete.
func BenchmarkRound(b *testing.B) {
	for _, connections := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			r := &memregistry.Registry{}
			for i := range connections {
				c := registry.Connection{ID: fmt.Sprint("c", i), Tenant: "default", ConnectedAt: time.Now()}
				if err := r.Open(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
			w, err := NewWorker(Config{
				Queue: memqueue.New(memqueue.Options{}), Registry: r, Gateway: free{},
				Log: slog.New(slog.DiscardHandler), Rate: 1e9,
			})
			if err != nil {
				b.Fatal(err)
			}
			var messages []queue.Message
			for i := range 10 {
				messages = append(messages, queue.Message{ID: fmt.Sprint(i), Body: encode(b, newEvent("default", fmt.Sprint("stu_", i), 1))})
			}
			e := w.newEngine(context.Background())
			defer e.close()
			b.ReportAllocs()
			for b.Loop() {
				events, _ := w.majors.decode(messages)
				ended := make(chan fate)
				for _, p := range parcels(events, func(_ []queue.Message, what fate) { ended <- what }) {
					e.give(p)
				}
				if what := <-ended; what != done {
					b.Fatal(what)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*connections), "ns/post")
		})
	}
}

type free struct{}

func (free) Post(context.Context, string, *gateway.Frame, time.Duration) error { return nil }
