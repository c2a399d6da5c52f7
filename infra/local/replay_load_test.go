package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
)

// Ten thousand old updates come back while the same rows are written: every client shows what was written last, and nobody
// gets more than the rate that was asked for.
func TestReplayUnderLoad(t *testing.T) {
	t.Parallel()
	const (
		letters  = 10_000
		students = 50
		rate     = 200
	)
	stack := start(t, local.Options{})
	w := newWatch(t, stack)
	shown := w.ws.follow(t)
	old := w.record(students, 4)
	w.fill(old, letters)

	meter := newMeter(t, w.env["AWS_ENDPOINT_URL_SQS"])
	w.env["AWS_ENDPOINT_URL_SQS"] = meter.url
	done, live := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		n := 100
		for {
			select {
			case <-done:
				live <- n
				return
			case <-tick.C:
				w.update(t, "student", fmt.Sprintf("stu_%03d", n%students), row{"sessions_7d": n})
				n++
			}
		}
	}()
	stop := sync.OnceValue(func() int { close(done); return <-live })
	defer stop()
	began := time.Now()
	said := w.replay(0, "replay", "fanout-0", "--all", "--confirm", "--rate", strconv.Itoa(rate), "--hold", "10s")
	took := time.Since(began)
	last := stop()
	says(t, said, fmt.Sprintf("%d matched: %d sent, %d deleted, 0 left", letters, letters, letters))
	w.rests("FANOUT_DLQ_URL", 0)

	sent, most := meter.busiest()
	t.Logf("%d letters in %s, %.0f a second of %d; the busiest second had %d; %d writes meanwhile", sent, took.Round(100*time.Millisecond), float64(letters)/took.Seconds(), rate, most, last-100)
	if sent != letters || most > rate*11/10 {
		t.Errorf("%d messages were sent, want %d; %d in one second, want %d at most", sent, letters, most, rate*11/10)
	}
	want := map[string]int{}
	for n := last - students; n < last; n++ {
		want[fmt.Sprintf("stu_%03d", n%students)] = n
	}
	eventually(t, "the client to show what was written last", func() bool {
		for id, sessions := range want {
			if shown.sessions(id) != sessions {
				return false
			}
		}
		return true
	})
	eventually(t, "the queue to be empty", func() bool { return w.depth("FANOUT_QUEUE_URL") == 0 })
	for id, sessions := range want { // whatever came late
		if got := shown.sessions(id); got != sessions {
			t.Errorf("%s went back from %d to %d", id, sessions, got)
		}
	}
}

// record writes each student some times, and returns what the topic says of it.
func (w watch) record(students, times int) (all []types.Message) {
	w.t.Helper()
	ctx := w.t.Context()
	queue, err := w.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("recorder")})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.sns.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(w.env["TOPIC_ARN"]), Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:recorder"),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	}); err != nil {
		w.t.Fatal(err)
	}
	for n := range students * times {
		w.update(w.t, "student", fmt.Sprintf("stu_%03d", n%students), row{"sessions_7d": n / students})
	}
	eventually(w.t, "all updates to be published", func() bool {
		out, err := w.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}, WaitTimeSeconds: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, out.Messages...)
		return len(all) >= students*times
	})
	if _, err := w.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl}); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// fill puts so many dead letters where the fanout's rest, made of these messages again and again.
func (w watch) fill(from []types.Message, n int) {
	w.t.Helper()
	for at := 0; at < n; at += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(w.env["FANOUT_DLQ_URL"])}
		for i := at; i < min(at+10, n); i++ {
			m := from[i%len(from)]
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: m.Body, MessageAttributes: m.MessageAttributes,
			})
		}
		if out, err := w.sqs.SendMessageBatch(w.t.Context(), in); err != nil || len(out.Failed) > 0 {
			w.t.Fatal(err, out)
		}
	}
}

// screen is what a client shows: of each entity the highest version that came.
type screen struct {
	mu  sync.Mutex
	all map[string]contracts.UpdateV1
}

// follow shows what comes from now on, instead of whoever would wait for it.
func (ws *client) follow(t *testing.T) *screen {
	s := &screen{all: map[string]contracts.UpdateV1{}}
	go func() {
		for {
			select {
			case u := <-ws.updates:
				s.mu.Lock()
				if shown, ok := s.all[u.EntityID]; !ok || u.Version.Compare(shown.Version) > 0 {
					s.all[u.EntityID] = u
				}
				s.mu.Unlock()
			case <-ws.ended:
				return
			}
		}
	}()
	return s
}

var sessions = regexp.MustCompile(`"sessions_7d":(\d+)`)

func (s *screen) sessions(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := sessions.FindSubmatch(s.all[id].Attributes)
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

// meter stands in front of SQS, and counts what is sent through it.
type meter struct {
	url string
	mu  sync.Mutex
	at  []time.Time // of each message
}

func newMeter(t *testing.T, to string) *meter {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{}
	transport := &http.Transport{MaxIdleConnsPerHost: 10}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			var batch struct{ Entries []json.RawMessage }
			_ = json.Unmarshal(body, &batch) // else it counts for nothing, and is missed
			now := time.Now()
			m.mu.Lock()
			for range batch.Entries {
				m.at = append(m.at, now)
			}
			m.mu.Unlock()
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	m.url = server.URL
	return m
}

// busiest returns how many messages were sent, and the most within a second.
func (m *meter) busiest() (sent, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortFunc(m.at, time.Time.Compare)
	first := 0
	for i, at := range m.at {
		for at.Sub(m.at[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return len(m.at), most
}
