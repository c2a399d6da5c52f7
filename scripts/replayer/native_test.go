package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// recorded answers as SQS did, by the end of the action's name; of several answers one after the other.
func recorded(t *testing.T, answers map[string][]string) string {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		all := answers[action]
		if len(all) == 0 {
			t.Errorf("nobody expects %s", action)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(all) > 1 {
			answers[action] = all[1:]
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(all[0]))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The servers of one machine have no move tasks: SQS's answers are recorded.
func TestSQSMovesTheWholeQueue(t *testing.T) {
	t.Parallel()
	s := newShard(t, 11)
	const task = `"TaskHandle":"h","SourceArn":"arn:aws:sqs:us-east-1:000000000000:iops-dashboard-fanout-11-dlq","StartedTimestamp":1795000000000`
	url := recorded(t, map[string][]string{
		"GetQueueUrl":          {`{"QueueUrl":"http://sqs/000000000000/iops-dashboard-fanout-11-dlq"}`},
		"GetQueueAttributes":   {`{"Attributes":{"QueueArn":"arn:aws:sqs:us-east-1:000000000000:iops-dashboard-fanout-11-dlq"}}`},
		"StartMessageMoveTask": {`{"TaskHandle":"h"}`},
		"ListMessageMoveTasks": {
			`{"Results":[]}`,
			`{"Results":[{"Status":"COMPLETED",` + task + `,"ApproximateNumberOfMessagesMoved":7,"ApproximateNumberOfMessagesToMove":7}]}`,
		},
	})
	c := s.command("replay", s.short, "--native", "--all", "--confirm")
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+url)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, string(out), "SQS moved about 7 of 7 from iops-dashboard-fanout-11-dlq to iops-dashboard-fanout-11")
}
