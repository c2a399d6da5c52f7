package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// By a folder: copied, moved, edited with any editor, and brought back; what was edited says so, what is broken stays.
func TestByAFolder(t *testing.T) {
	t.Parallel()
	s := newShard(t, 13)
	for i := range 3 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), map[string]types.MessageAttributeValue{
			"binary":         {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 0xff, '\n'}},
			"x-replay-count": {DataType: aws.String("Number"), StringValue: aws.String("2")},
		})
	}
	folder := filepath.Join(s.root, "letters")
	files := func(below ...string) []string {
		all, _ := filepath.Glob(filepath.Join(append(append([]string{folder}, below...), "*.json")...))
		return all
	}
	s.run(nothing, "export", s.short, folder, "--tenant", "other")
	out, _ := s.run(0, "export", s.short, folder, "--tenant", "default")
	contains(t, out, "3 written into "+folder)
	s.wantDepths("copied", 3, 0)
	out, _ = s.run(0, "export", s.short, folder, "--all", "--move")
	contains(t, out, "3 would be moved", "Nothing was moved")
	out, _ = s.run(0, "export", s.short, folder, "--all", "--move", "--confirm")
	contains(t, out, "3 moved from iops-dashboard-fanout-13-dlq into "+folder+", 0 left")
	s.wantDepths("moved", 0, 0)
	if len(files()) != 3 {
		t.Fatal(files())
	}
	for _, name := range files() {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(content); strings.Contains(text, "student/stu_1") {
			if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "stu_1", "stu_9")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := filepath.Join(folder, "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(folder, ".lock"))
	if err != nil || redrive.Lock(lock) != nil {
		t.Fatal(err)
	}
	_, errs := s.run(refused, "import", folder, "--confirm")
	contains(t, errs, "another import of "+folder+" goes on")
	_ = lock.Close()
	out, _ = s.run(left, "import", folder)
	contains(t, out, "3 would be sent from "+folder+" to iops-dashboard-fanout-13")
	out, errs = s.run(left, "import", folder, "--confirm")
	contains(t, out, "3 matched: 3 sent, 3 deleted, 0 left")
	contains(t, errs, broken, "1 files cannot be read")
	if len(files()) != 1 || len(files("done")) != 3 {
		t.Errorf("left %q, done %q", files(), files("done"))
	}
	counts := map[string]string{}
	for _, m := range s.all(s.source) {
		entity := regexp.MustCompile(`"entity_id": ?"(\w+)"`).FindStringSubmatch(*m.Body)
		if entity == nil || !bytes.Equal(m.MessageAttributes["binary"].BinaryValue, []byte{0, 0xff, '\n'}) {
			t.Fatalf("%s %v", *m.Body, m.MessageAttributes)
		}
		counts[entity[1]] = aws.ToString(m.MessageAttributes["x-replay-count"].StringValue)
		if edited := m.MessageAttributes["x-replay-edited-by"].StringValue != nil; edited != (entity[1] == "stu_9") {
			t.Errorf("%s: edited %v", entity[1], edited)
		}
	}
	if want := map[string]string{"stu_0": "3", "stu_9": "1", "stu_2": "3"}; !reflect.DeepEqual(counts, want) {
		t.Errorf("replayed %v, want %v", counts, want)
	}
	s.run(left, "import", folder, "--confirm")
	s.wantDepths("once more", 0, 0)
}

// What is edited is shown, sent only when it would not be dead again, and kept as it was.
func TestEdit(t *testing.T) {
	t.Parallel()
	s := newShard(t, 14)
	for i := range 3 {
		s.send(s.dlq, event(fmt.Sprintf("stu_%d", i)), attributes)
	}
	one := []string{"edit", s.short, "--entity", "student/stu_1", "--set"}
	s.run(nothing, "edit", s.short, "--tenant", "other", "--set", ".")
	s.run(refused, "edit", s.short, "--tenant", "default", "--most", "2", "--set", ".")
	_, errs := s.run(left, append(one, ".", "--confirm")...)
	contains(t, errs, "nothing was changed")
	_, errs = s.run(left, append(one, ".body.data.operation = 7", "--confirm")...)
	contains(t, errs, "it would be dead again: invalid at /data/operation")
	out, _ := s.run(0, append(one, `.body.data.sequence = "4"`)...)
	contains(t, out, `-      "sequence": "300000000000000499659",`, `+      "sequence": "4",`, "1 would be sent", "Nothing was sent")
	s.wantDepths("shown", 3, 0)
	out, _ = s.run(0, append(one, `.body.data.sequence = "4"`, "--confirm")...)
	contains(t, out, "1 sent to iops-dashboard-fanout-14, 0 left; as they were they are kept in "+s.root)
	s.wantDepths("edited", 2, 1)
	for _, m := range s.all(s.source) {
		contains(t, *m.Body, `"sequence":"4"`, "student/stu_1")
		if aws.ToString(m.MessageAttributes["x-replay-edited-by"].StringValue) == "" || aws.ToString(m.MessageAttributes["count"].DataType) != "Number.int" {
			t.Errorf("%v", m.MessageAttributes)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.archive"))
	if len(kept) != 1 {
		t.Fatal(kept)
	}
	s.run(0, "import", kept[0], "--confirm") // a bad edit is taken back
	for _, m := range s.all(s.source) {
		if *m.Body != event("stu_1") {
			t.Errorf("kept %s", *m.Body)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.root, ".local", "replay", "*.edit")); len(left) > 0 {
		t.Errorf("bodies are left in %q", left)
	}
}

// What was replayed three times waits in the quarantine, and comes back when somebody asks for it by its queue.
func TestOutOfTheQuarantine(t *testing.T) {
	t.Parallel()
	s := newShard(t, 12)
	quarantine, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("iops-dashboard-quarantine")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = s.client.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: quarantine.QueueUrl})
	})
	s.send(s.dlq, event("stu_1"), map[string]types.MessageAttributeValue{
		"type":           {DataType: aws.String("String"), StringValue: aws.String("METRIC_UPDATE")},
		"x-replay-count": {DataType: aws.String("Number"), StringValue: aws.String("3")},
	})
	out, errs := s.run(0, "replay", s.short, "--all", "--confirm")
	contains(t, out, "1 to the quarantine, 1 deleted, 0 left")
	contains(t, errs, "to the quarantine: was replayed 3 times")
	s.wantDepths("replayed three times", 0, 0)
	out, _ = s.run(0, "inspect", "quarantine", "--from", s.short)
	contains(t, out, "replayed", "student/stu_1", "which belong to iops-dashboard-fanout-12")
	s.run(nothing, "replay", "quarantine", "--from", "fanout-13", "--confirm")
	s.run(0, "replay", "quarantine", "--from", s.short, "--confirm")
	s.wantDepths("brought back", 0, 1)
	for _, m := range s.all(s.source) {
		if *m.Body != event("stu_1") || aws.ToString(m.MessageAttributes["x-replay-count"].StringValue) != "1" || m.MessageAttributes["x-quarantined-from"].DataType != nil {
			t.Errorf("%s %v", *m.Body, m.MessageAttributes)
		}
	}
}
