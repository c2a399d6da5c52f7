package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// ctrl-C finishes the batch in hand, gives back all else at once, and tells how to go on; that ends it.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	s := newShard(t, 7)
	const n = 60
	for i := range n {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), nil)
	}
	c := s.command("replay", s.short, "--cause", "gave up", "--confirm", "--rate", "10")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < 3; <-tick.C { // it is at work
		sent, _ = s.depth(s.source)
	}
	listed, _ := s.run(0, "history")
	contains(t, listed, "goes on")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d\n%s%s", code, out.String(), errs.String())
	}
	_, resume, ok := strings.Cut(errs.String(), "to go on: scripts/replay ")
	if !ok {
		t.Fatal(errs.String())
	}
	sent, _ := s.depth(s.source)
	s.wantDepths("interrupted", n-sent, sent)
	if sent < 3 || sent > n/2 {
		t.Errorf("%d were sent", sent)
	}
	args := strings.Fields(resume)
	out2, _ := s.run(0, append(args, "--rate", "1000")...)
	contains(t, out2, fmt.Sprintf("%d sent", n-sent))
	s.wantDepths("resumed", 0, n)
	seen := map[string]bool{}
	for _, m := range s.all(s.source) {
		if seen[*m.Body] {
			t.Errorf("twice: %s", *m.Body)
		}
		seen[*m.Body] = true
	}
}

// Killed when a batch is sent and nothing of it is deleted, the run goes on where it was: all comes once, but for that batch.
func TestKilledBetweenSendingAndDeleting(t *testing.T) {
	t.Parallel()
	s := newShard(t, 9)
	const n = 30
	for i := range n {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), attributes)
	}
	target, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	deleting, over := make(chan struct{}, 100), make(chan struct{})
	calls := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteMessageBatch") {
			if calls++; calls > 1 { // the first is done
				deleting <- struct{}{}
				<-over
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(over); front.Close() })
	const hold = "3s"
	c := s.command("replay", s.short, "--all", "--confirm", "--rate", "50", "--hold", hold) // batches of five
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+front.URL)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-deleting:
	case <-time.After(30 * time.Second):
		t.Errorf("nothing is deleted\n%s%s", out.String(), errs.String())
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	logs, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.jsonl"))
	if len(logs) != 1 {
		t.Fatal(logs)
	}
	run := strings.TrimSuffix(filepath.Base(logs[0]), ".jsonl")
	listed, _ := s.run(0, "history")
	contains(t, listed, run, "killed: --resume goes on")
	said, _ := s.run(0, "replay", "--resume", run, "--confirm", "--rate", "1000", "--hold", hold)
	contains(t, said, "0 left")
	came := map[string]int{}
	for _, m := range s.all(s.source) {
		came[*m.Body]++
	}
	total := 0
	for i := range n {
		times := came[event(fmt.Sprintf("stu_%d", i))]
		if total += times; times < 1 || times > 2 {
			t.Errorf("stu_%d came %d times", i, times)
		}
	}
	if total > n { // it was confirmed, and that was on disk
		t.Errorf("%d came twice", total-n)
	}
	s.wantDepths("resumed", 0, 0)
	audit, _ := s.run(0, "history", run)
	if deleted := strings.Count(audit, " deleted "); deleted != n {
		t.Errorf("%d of %d are audited as deleted in\n%s", deleted, n, audit)
	}
}

// Where a part of a batch is refused, that part is left, and all else is moved: others lose it, or send all of it again.
func TestAPartIsRefused(t *testing.T) {
	t.Parallel()
	s := newShard(t, 10)
	for i := range 12 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), nil)
	}
	target, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SendMessageBatch") {
			proxy.ServeHTTP(w, r)
			return
		}
		var batch struct {
			QueueUrl string
			Entries  []map[string]any
		}
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			t.Error(err)
		}
		var kept []map[string]any
		var refused []map[string]any
		for _, e := range batch.Entries {
			if strings.Contains(fmt.Sprint(e["MessageBody"]), "stu_7") {
				refused = append(refused, map[string]any{"Id": e["Id"], "Code": "InvalidMessageContents", "SenderFault": true})
			} else {
				kept = append(kept, e)
			}
		}
		answer := map[string]any{"Successful": []any{}, "Failed": refused}
		if len(kept) > 0 {
			body, _ := json.Marshal(map[string]any{"QueueUrl": batch.QueueUrl, "Entries": kept})
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, server.url, bytes.NewReader(body))
			request.Header = r.Header.Clone()
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				t.Error(err)
			}
			answer["Failed"] = refused
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(front.Close)
	c := s.command("replay", s.short, "--all", "--confirm")
	c.Env = append(c.Env, "AWS_ENDPOINT_URL_SQS="+front.URL)
	out, err := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d, %v", code, err)
	}
	contains(t, string(out), "12 matched: 11 sent, 11 deleted, 1 left, of them 1 that cannot be sent", "failed: InvalidMessageContents")
	s.wantDepths("a part was refused", 1, 11)
	for _, m := range s.all(s.dlq) {
		contains(t, *m.Body, "stu_7")
	}
}

// inspect, interrupted, hides nothing.
func TestInterruptedInspectGivesBack(t *testing.T) {
	t.Parallel()
	s := newShard(t, 8)
	const n = 1500
	for first := 0; first < n; first += 10 {
		var entries []types.SendMessageBatchRequestEntry
		for i := range 10 {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("b")})
		}
		if _, err := s.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &s.dlq, Entries: entries}); err != nil {
			t.Fatal(err)
		}
	}
	c := s.command("inspect", s.short)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for hidden := 0; hidden == 0; <-tick.C {
		_, hidden = s.depth(s.dlq)
	}
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != left {
		t.Errorf("ended with %d", code)
	}
	s.wantDepths("interrupted", n, 0)
}
