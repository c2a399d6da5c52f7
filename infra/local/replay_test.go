package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// watch is somebody who is woken at night: they have the system's env file, scripts/replay, and a client that only listens,
// so that it shows nothing but what was brought.
type watch struct {
	clients
	t     *testing.T
	home  string
	store string // the folder of what was given up
	ws    *client
}

func newWatch(t *testing.T, stack *local.Stack) watch {
	c := newClients(stack.Env())
	return watch{clients: c, t: t, home: t.TempDir(), store: filepath.Join(filepath.Dir(stack.EnvFile()), "failures"), ws: c.connect(t)}
}

// replay runs scripts/replay, which must end with that exit code, and returns what it writes.
func (w watch) replay(want int, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := w.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != want {
		w.t.Fatalf("scripts/replay %q ended with %d, want %d\n%s%s", args, got, want, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

func (w watch) command(ctx context.Context, args ...string) *exec.Cmd {
	w.t.Helper()
	script, err := filepath.Abs(filepath.Join(root, "scripts", "replay"))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, script, append([]string{"--root", w.home}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "AWS_") })
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// rests waits until so many messages rest in the queue that variable names.
func (w watch) rests(variable string, want int) {
	w.t.Helper()
	eventually(w.t, strconv.Itoa(want)+" messages to rest in "+variable, func() bool { return w.depth(variable) == want })
}

func (w watch) depth(variable string) int {
	w.t.Helper()
	out, err := w.sqs.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(w.env[variable]), AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, text := range out.Attributes {
		part, _ := strconv.Atoi(text)
		n += part
	}
	return n
}

// shows waits until the client shows that health score of a student, and fails if it ever goes backwards.
func (w watch) shows(id string, health int) {
	w.t.Helper()
	want := `"health_score":` + strconv.Itoa(health)
	for !strings.Contains(string(w.ws.waitFor(w.t, id).Attributes), want+"}") {
	}
}

func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

// hasty is a system in which a message that is not dealt with comes back after two seconds.
func hasty() topology.Topology {
	system := topology.Default()
	for i, q := range system.Queues {
		if q.DeadLetter != "" {
			system.Queues[i].Visibility = 2 * time.Second
		}
	}
	for i, w := range system.Workers {
		system.Workers[i].StopTimeout = time.Second
		w.Environment["FANOUT_VISIBILITY"] = topology.Ref{Kind: topology.Literal, Name: "2s"}
	}
	return system
}

// Whatever can fail behind the topic rests, says why, and comes back to a client that missed it.
func TestDeadLettersComeBack(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{Topology: hasty()})
	w := newWatch(t, stack)
	w.update(t, "student", "stu_before", row{"health_score": 1})
	w.shows("stu_before", 1)

	w.rests("FANOUT_QUEUE_URL", 0) // or what was shown, and is not deleted yet, would be dead-lettered, too
	restore := stack.Authority().Withdraw(fanoutQueue, "dynamodb:Query")
	w.update(t, "student", "stu_five", row{"health_score": 12})
	w.update(t, "student", "stu_twice", row{"health_score": 1})
	w.update(t, "student", "stu_folder", row{"health_score": 5, "last_updated": "2026-11-22T10:00:00.123Z"})
	w.rests("FANOUT_DLQ_URL", 3)
	restore()

	t.Run("the fanout fails five times", func(t *testing.T) {
		w.t = t
		says(t, w.replay(0, "inspect", "fanout-0"), "3 messages; 3 match", "gave up after 5 receives", "METRIC_UPDATE  student/stu_five  tenant default")
		five := []string{"replay", "fanout-0", "--cause", "gave up", "--entity", "student/stu_five"}
		says(t, w.replay(0, five...), "1 would be sent", "Nothing was sent")
		w.rests("FANOUT_DLQ_URL", 3)
		w.replay(0, append(five, "--confirm")...)
		w.shows("stu_five", 12)
		w.rests("FANOUT_DLQ_URL", 2)
	})

	t.Run("it is older than what is known", func(t *testing.T) {
		w.t = t
		w.update(t, "student", "stu_twice", row{"health_score": 2})
		w.shows("stu_twice", 2)
		twice := []string{"replay", "fanout-0", "--entity", "student/stu_twice", "--skip-superseded", "--confirm"}
		says(t, w.replay(0, twice...), "1 into", "archived: superseded")
		w.rests("FANOUT_DLQ_URL", 1)
		archives, _ := filepath.Glob(filepath.Join(w.home, ".local", "replay", "*", "*.json"))
		if len(archives) != 1 {
			t.Errorf("archived %q", archives)
		}
	})

	t.Run("it is brought from a folder", func(t *testing.T) {
		w.t = t
		folder := filepath.Join(w.home, "letters")
		w.replay(0, "export", "fanout-0", folder, "--all", "--move", "--confirm")
		w.rests("FANOUT_DLQ_URL", 0)
		w.replay(0, "import", folder, "--confirm")
		got := w.ws.waitFor(t, "stu_folder")
		if want := `{"health_score":5,"last_updated":"2026-11-22T10:00:00.123Z"}`; string(got.Attributes) != want {
			t.Errorf("it shows %s, want %s", got.Attributes, want)
		}
		w.replay(3, "import", folder, "--confirm") // nothing is left in it
	})

	t.Run("SNS cannot deliver", func(t *testing.T) {
		w.t = t
		w.undeliver("stu_sns", 34)
		w.rests("FANOUT_SUBSCRIPTION_DLQ_URL", 1)
		says(t, w.replay(0, "inspect", "fanout-0-subscription"), "SNS could not deliver it", "student/stu_sns")
		w.replay(0, "replay", "fanout-0-subscription", "--all", "--confirm")
		w.shows("stu_sns", 34)
		w.rests("FANOUT_SUBSCRIPTION_DLQ_URL", 0)
	})

	t.Run("nobody can read it", func(t *testing.T) {
		w.t = t
		w.publish(t, `{"type":"METRIC_UPDATE","subject":"student/stu_odd"}`)
		w.rests("FANOUT_DLQ_URL", 1)
		says(t, w.replay(0, "inspect", "fanout-0"), "invalid at /data (required)", "student/stu_odd")
		says(t, w.replay(0, "replay", "fanout-0", "--all", "--confirm"), "1 to the quarantine")
		w.rests("FANOUT_DLQ_URL", 0)
		w.rests("QUARANTINE_QUEUE_URL", 1)
		says(t, w.replay(0, "inspect", "quarantine"), "unreadable", "student/stu_odd")
		says(t, w.replay(3, "edit", "quarantine", "--entity", "student/stu_odd", "--set", "."), "is not edited: it is a dead letter of "+fanoutQueue)
		says(t, w.replay(2, "replay", "quarantine", "--all", "--confirm"), "left: it is a dead letter of "+fanoutQueue)
		says(t, w.replay(2, "replay", "quarantine", "--from", "fanout-0", "--confirm"), "left: invalid at /data (required)")
		folder := filepath.Join(w.home, "odd")
		w.replay(0, "export", "quarantine", folder, "--all", "--move", "--confirm")
		w.rests("QUARANTINE_QUEUE_URL", 0)
		if files, _ := filepath.Glob(filepath.Join(folder, "*.json")); len(files) != 1 {
			t.Errorf("exported %q", files)
		}
	})
}

// undeliver has the topic fail to deliver an update of a student to the fanout's queue, and puts it where AWS would: the
// servers of one machine have no dead letters of subscriptions.
func (w watch) undeliver(id string, health int) {
	w.t.Helper()
	ctx := w.t.Context()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	topic := aws.String(w.env["TOPIC_ARN"])
	all, err := w.sns.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic})
	must(err)
	at := slices.IndexFunc(all.Subscriptions, func(s snstypes.Subscription) bool {
		return strings.HasSuffix(aws.ToString(s.Endpoint), ":"+fanoutQueue)
	})
	if at < 0 {
		w.t.Fatalf("nobody subscribes: %+v", all.Subscriptions)
	}
	endpoint := all.Subscriptions[at].Endpoint
	subscribe := func(endpoint *string) {
		w.t.Helper()
		_, err := w.sns.Subscribe(ctx, &sns.SubscribeInput{
			TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: endpoint, Attributes: map[string]string{"RawMessageDelivery": "true"},
		})
		must(err)
	}
	queue, err := w.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("refused-" + id)})
	must(err)
	_, err = w.sns.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: all.Subscriptions[at].SubscriptionArn})
	must(err)
	subscribe(aws.String(strings.TrimSuffix(*endpoint, fanoutQueue) + "refused-" + id))
	w.update(w.t, "student", id, row{"health_score": health})
	var letter types.Message
	eventually(w.t, "the event", func() bool {
		out, err := w.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MessageAttributeNames: []string{"All"}, WaitTimeSeconds: 1})
		must(err)
		if len(out.Messages) == 1 {
			letter = out.Messages[0]
		}
		return len(out.Messages) == 1
	})
	_, err = w.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl})
	must(err)
	_, err = w.sqs.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: aws.String(w.env["FANOUT_SUBSCRIPTION_DLQ_URL"]), MessageBody: letter.Body, MessageAttributes: letter.MessageAttributes,
	})
	must(err)
	subscribe(endpoint)
}

// What breaks its schema rests with its reason; it comes back as long as it is not mended, and not for ever.
func TestQuarantineComesBack(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{})
	w := newWatch(t, stack)
	w.update(t, "student", "stu_poor", row{"health_score": 50})
	w.shows("stu_poor", 50)
	w.update(t, "student", "stu_poor", row{"health_score": 101})
	w.rests("QUARANTINE_QUEUE_URL", 1)
	says(t, w.replay(0, "inspect", "quarantine"), "maximum", "/dynamodb/NewImage/health_score", "student/stu_poor", "tenant default")

	says(t, w.replay(2, "replay", "quarantine", "--all", "--confirm"), "came back")
	w.rests("QUARANTINE_QUEUE_URL", 1)
	says(t, w.replay(0, "inspect", "quarantine", "--json"), `"replays":1`)

	set := []string{"edit", "quarantine", "--entity", "student/stu_poor", "--set", `.body.dynamodb.NewImage.health_score.N = "10"`}
	says(t, w.replay(0, set...), `-`, `"N": "101"`, `+`, `"N": "10"`, "Nothing was sent")
	w.rests("QUARANTINE_QUEUE_URL", 1)
	w.replay(0, append(set, "--confirm")...)
	w.shows("stu_poor", 10)
	w.rests("QUARANTINE_QUEUE_URL", 0)
}

// crashing is a system whose streams feed a normalizer that ends before it asks for its first event. The one that scripts/replay
// knows is as it should be: the cause is mended.
func crashing() topology.Topology {
	system := topology.Default()
	normalizer, _ := system.Function(system.Streams[0].Function)
	old := normalizer
	old.Name += "-old"
	old.Environment = maps.Clone(normalizer.Environment)
	old.Environment["STATE_TABLE"] = topology.Ref{Kind: topology.Literal}
	system.Functions = append(system.Functions, old)
	for i := range system.Streams {
		system.Streams[i].Function, system.Streams[i].Retries = old.Name, 1
	}
	return system
}

// What the normalizer was given and could not take comes back from the store, from the stream, or from the rows.
func TestGivenUpRecordsComeBack(t *testing.T) {
	t.Parallel()
	stack := start(t, local.Options{Topology: crashing()})
	w := newWatch(t, stack)

	w.update(t, "student", "stu_stored", row{"health_score": 11})
	w.rests("FAILURES_QUEUE_URL", 1)
	says(t, w.replay(0, "inspect", "failures"), "RetryAttemptsExhausted", "iops-dashboard-metrics")
	w.replay(0, "replay", "failures", "--all", "--confirm")
	w.shows("stu_stored", 11)
	w.rests("FAILURES_QUEUE_URL", 0)

	w.update(t, "student", "stu_range", row{"health_score": 22})
	w.put(w.withoutPayload(w.receive(t, "FAILURES_QUEUE_URL"), nil))
	w.rests("FAILURES_QUEUE_URL", 1)
	w.replay(0, "replay", "failures", "--all", "--confirm")
	w.shows("stu_range", 22)
	w.rests("FAILURES_QUEUE_URL", 0)

	w.update(t, "student", "stu_gone", row{"health_score": 33})
	w.put(w.withoutPayload(w.receive(t, "FAILURES_QUEUE_URL"), func(info map[string]any) {
		info["startSequenceNumber"], info["endSequenceNumber"] = "0", "0" // which came before all that the stream still has
	}))
	w.rests("FAILURES_QUEUE_URL", 1)
	says(t, w.replay(0, "inspect", "failures"), "RetryAttemptsExhausted")
	says(t, w.replay(0, "replay", "failures", "--all", "--confirm"), "of 1 messages neither the store nor the stream has the records")
	w.shows("stu_gone", 33)
	w.rests("FAILURES_QUEUE_URL", 0)

	// Nobody knows of these but the table.
	w.update(t, "student", "stu_row", row{"health_score": 44})
	w.receive(t, "FAILURES_QUEUE_URL")
	w.remove(t, "student", "stu_stored")
	w.receive(t, "FAILURES_QUEUE_URL")
	says(t, w.replay(0, "resync", "metrics"), "2 rows", "1 are not shown as they are, 1 are shown and gone")
	w.replay(0, "resync", "metrics", "--confirm")
	came := w.ws.waitForAll(t, []string{"stu_row", "stu_stored"})
	if got := came["stu_row"]; string(got.Attributes) != `{"health_score":44}` {
		t.Errorf("stu_row is %s", got.Attributes)
	}
	if got := came["stu_stored"]; got.Operation != contracts.UpdateOperationRemove {
		t.Errorf("stu_stored comes with %s", got.Operation)
	}
	w.replay(3, "resync", "metrics") // no row differs any more
}

// withoutPayload is what a queue is told where there is no store: the document that the notice names, without the records.
func (w watch) withoutPayload(notice string, change func(info map[string]any)) string {
	w.t.Helper()
	var told events.S3Event
	if err := json.Unmarshal([]byte(notice), &told); err != nil || len(told.Records) != 1 {
		w.t.Fatalf("told %s, %v", notice, err)
	}
	content, err := os.ReadFile(filepath.Join(w.store, filepath.FromSlash(told.Records[0].S3.Object.URLDecodedKey)))
	if err != nil {
		w.t.Fatal(err)
	}
	document := object(w.t, content)
	delete(document, "payload")
	if change != nil {
		info, _ := document["DDBStreamBatchInfo"].(map[string]any)
		change(info)
	}
	text, err := json.Marshal(document)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w watch) put(body string) {
	w.t.Helper()
	if _, err := w.sqs.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(w.env["FAILURES_QUEUE_URL"]), MessageBody: &body}); err != nil {
		w.t.Fatal(err)
	}
}
