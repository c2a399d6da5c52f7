package movetask

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const (
	source      = "arn:aws:sqs:eu-central-1:123456789012:iops-dashboard-fanout-0-dlq"
	destination = "arn:aws:sqs:eu-central-1:123456789012:iops-dashboard-fanout-0"
	handle      = "eyJ0YXNrSWQiOiJkYzE2OWUyMi0xZTU3LTRhZjgtYjhiMy0xYjc0ZjBlNWM0YTUifQ=="
)

// Replies, as the JSON protocol of SQS has them.
const (
	none      = `{"Results": []}`
	started   = `{"TaskHandle": "` + handle + `"}`
	cancelled = `{"ApproximateNumberOfMessagesMoved": 17}`

	runningOne = `{"TaskHandle": "` + handle + `", "Status": "RUNNING", "SourceArn": "` + source + `", "DestinationArn": "` + destination + `",
		"MaxNumberOfMessagesPerSecond": 50, "ApproximateNumberOfMessagesMoved": 10, "ApproximateNumberOfMessagesToMove": 25, "StartedTimestamp": 1767268800000}`
	unpicked     = `{"TaskHandle": "` + handle + `", "Status": "RUNNING", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 0, "StartedTimestamp": 1767268800000}`
	cancelling   = `{"Status": "CANCELLING", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 12, "ApproximateNumberOfMessagesToMove": 25, "StartedTimestamp": 1767268800000}`
	cancelledOne = `{"Status": "CANCELLED", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 13, "ApproximateNumberOfMessagesToMove": 25, "StartedTimestamp": 1767268800000}`
	completed    = `{"Status": "COMPLETED", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 25, "ApproximateNumberOfMessagesToMove": 25, "StartedTimestamp": 1767268800000}`
	failed       = `{"Status": "FAILED", "SourceArn": "` + source + `", "FailureReason": "AWS.SimpleQueueService.NonExistentQueue",
		"ApproximateNumberOfMessagesMoved": 3, "ApproximateNumberOfMessagesToMove": 25, "StartedTimestamp": 1767268800000}`
	earlier = `{"Status": "COMPLETED", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 999, "ApproximateNumberOfMessagesToMove": 999, "StartedTimestamp": 1767000000000}`
	later   = `{"Status": "RUNNING", "TaskHandle": "b3RoZXI=", "SourceArn": "` + source + `", "ApproximateNumberOfMessagesMoved": 1, "ApproximateNumberOfMessagesToMove": 2, "StartedTimestamp": 1767270000000}`
)

func results(tasks ...string) reply {
	return reply{body: `{"Results": [` + strings.Join(tasks, ",") + `]}`}
}

type reply struct {
	status int    // 0 for 200
	query  string // x-amzn-query-error, of an error
	body   string
	err    error // there is no answer
}

func refused(status int, code, query, message string) reply {
	return reply{status: status, query: query, body: `{"__type": "com.amazonaws.sqs#` + code + `", "message": "` + message + `"}`}
}

var (
	throttled = refused(http.StatusForbidden, "RequestThrottled", "RequestThrottled;Sender", "Request is throttled.")
	denied    = refused(http.StatusForbidden, "AccessDeniedException", "AccessDenied;Sender", "User is not authorized to perform this action.")
	inactive  = refused(http.StatusBadRequest, "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation;Sender", "Only active tasks can be cancelled.")
	busy      = refused(http.StatusBadRequest, "InvalidParameterValueException", "InvalidParameterValue;Sender",
		"There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	notDLQ  = refused(http.StatusBadRequest, "InvalidParameterValueException", "InvalidParameterValue;Sender", "Source queue must be configured as a Dead Letter Queue.")
	missing = refused(http.StatusNotFound, "ResourceNotFoundException", "ResourceNotFoundException;Sender",
		"The resource that you specified for the DestinationArn parameter doesn't exist.")
	unknown = refused(http.StatusBadRequest, "InvalidAction", "InvalidAction;Sender", "The action or operation requested is invalid.")
	broken  = reply{err: errors.New("planted: no connection")}
)

// script is SQS as it answers in a test: of each operation its replies in order, the last of them for ever. It answers in
// memory, so that the clock can be turned.
type script struct {
	List, Start, Cancel []reply

	mu    sync.Mutex
	calls []string
	asked map[string]map[string]any // the latest request of each operation
}

func (s *script) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var asked map[string]any
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, err
	}
	if s.asked == nil {
		s.asked = map[string]map[string]any{}
	}
	s.asked[op], s.calls = asked, append(s.calls, op)
	replies := map[string]*[]reply{"ListMessageMoveTasks": &s.List, "StartMessageMoveTask": &s.Start, "CancelMessageMoveTask": &s.Cancel}[op]
	if replies == nil || len(*replies) == 0 {
		return nil, errors.New("no reply for " + op)
	}
	answer := (*replies)[0]
	if len(*replies) > 1 {
		*replies = (*replies)[1:]
	}
	if answer.err != nil {
		return nil, answer.err
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if answer.query != "" {
		w.Header().Set("X-Amzn-Query-Error", answer.query)
	}
	w.WriteHeader(max(answer.status, http.StatusOK))
	_, _ = w.WriteString(answer.body)
	return w.Result(), nil
}

func (s *script) client() *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "eu-central-1", HTTPClient: s, BaseEndpoint: aws.String("http://sqs.test"),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func (s *script) count(op string) (n int) {
	for _, call := range s.calls {
		if call == op {
			n++
		}
	}
	return n
}

var task = Task{Source: source}

func TestTasksThatAreNotStarted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task Task
		says string
	}{
		"no source":    {Task{}, "source"},
		"a name":       {Task{Source: "iops-dashboard-fanout-0-dlq"}, "source"},
		"a topic":      {Task{Source: "arn:aws:sns:eu-central-1:123456789012:topic"}, "source"},
		"no queue":     {Task{Source: "arn:aws:sqs:eu-central-1:123456789012:"}, "source"},
		"to a URL":     {Task{Source: source, Destination: "https://sqs.eu-central-1.amazonaws.com/123456789012/q"}, "destination"},
		"negative":     {Task{Source: source, Rate: -1}, "rate"},
		"too fast":     {Task{Source: source, Rate: 501}, "500"},
		"time machine": {Task{Source: source, Interval: -1}, "interval"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{}
			_, err := Run(t.Context(), s.client(), c.task, nil)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(s.calls) > 0 {
				t.Errorf("%v after %v, want %q", err, s.calls, c.says)
			}
		})
	}
}

func TestTasksThatSQSDoesNotTake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list, start []reply
		kind        error
		says        []string
	}{
		"no dead-letter queue":      {[]reply{results()}, []reply{notDLQ}, ErrUnsupported, []string{"dead-letter queue of another queue"}},
		"of SNS":                    {[]reply{results()}, []reply{missing}, ErrUnsupported, []string{"not there", "DestinationArn"}},
		"not supported":             {[]reply{results()}, []reply{inactive}, ErrUnsupported, []string{"not from this queue"}},
		"a server without":          {[]reply{unknown}, nil, ErrUnsupported, []string{"no move tasks"}},
		"the source is not there":   {[]reply{missing}, nil, ErrUnsupported, []string{"not there"}},
		"nobody may look":           {[]reply{denied}, nil, redrive.ErrDenied, []string{"sqs:ListMessageMoveTasks"}},
		"nobody may start":          {[]reply{results()}, []reply{denied}, redrive.ErrDenied, []string{"sqs:StartMessageMoveTask"}},
		"one runs":                  {[]reply{results(runningOne, earlier)}, nil, nil, []string{destination, "2026-01-01T12:00:00Z", "10 of 25", handle}},
		"one is being cancelled":    {[]reply{results(cancelling)}, nil, nil, []string{"where its messages came from", "12 of 25"}},
		"one began a moment before": {[]reply{results(earlier), results(runningOne, earlier)}, []reply{busy}, nil, []string{"10 of 25", handle}},
		"one that is not listed":    {[]reply{results()}, []reply{busy}, nil, []string{"already a task running"}},
		"no connection":             {[]reply{results()}, []reply{broken}, nil, []string{"start the task", "planted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{List: c.list, Start: c.start}
				_, err := Run(t.Context(), s.client(), task, nil)
				if err == nil || c.kind != nil && !errors.Is(err, c.kind) || c.kind == nil && errors.Is(err, ErrUnsupported) {
					t.Fatalf("%v", err)
				}
				for _, says := range c.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%v\nwant %q", err, says)
					}
				}
				if c.start == nil && s.count("StartMessageMoveTask") > 0 {
					t.Error("it was started")
				}
			})
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list []reply
		want Result
		says string // of the error
		took time.Duration
	}{
		"well":                {[]reply{results(earlier), results(unpicked, earlier), results(runningOne, earlier), results(completed, earlier)}, Result{Moved: 25, Total: 25}, "", 10 * time.Second},
		"at once":             {[]reply{results(earlier), results(completed, earlier)}, Result{Moved: 25, Total: 25}, "", 0},
		"listed late":         {[]reply{results(earlier), results(earlier), results(completed, earlier)}, Result{Moved: 25, Total: 25}, "", 5 * time.Second},
		"and another begins":  {[]reply{results(earlier), results(later, completed, earlier)}, Result{Moved: 25, Total: 25}, "", 0},
		"it fails":            {[]reply{results(), results(failed)}, Result{Moved: 3, Total: 25}, "AWS.SimpleQueueService.NonExistentQueue", 0},
		"somebody cancels it": {[]reply{results(), results(runningOne), results(cancelling), results(cancelledOne)}, Result{Moved: 13, Total: 25}, "somebody else", 10 * time.Second},
		"throttled looks":     {[]reply{results(), results(runningOne), throttled, throttled, throttled, throttled, results(completed)}, Result{Moved: 25, Total: 25}, "", -1},
		"one look of many fails": {
			slices.Concat([]reply{results()}, slices.Repeat([]reply{results(runningOne)}, 30), []reply{throttled, throttled, throttled, results(completed)}),
			Result{Moved: 25, Total: 25}, "", -1,
		},
		"looks that fail":        {[]reply{results(), results(runningOne), broken}, Result{Moved: 10, Total: 25}, handle, -1},
		"looks that are refused": {[]reply{results(), results(runningOne), denied}, Result{Moved: 10, Total: 25}, handle, 5 * time.Second},
		"never listed":           {[]reply{results(earlier)}, Result{}, handle, patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{List: c.list, Start: []reply{{body: started}}}
				begun := time.Now()
				var told []int
				got, err := Run(t.Context(), s.client(), task, func(moved, total int) { told = append(told, moved, total) })
				if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				if took := time.Since(begun); c.took >= 0 && took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				} else if took > 2*patience {
					t.Errorf("took %v", took)
				}
				if len(told) > 0 && !slices.Equal(told[len(told)-2:], []int{c.want.Moved, c.want.Total}) {
					t.Errorf("progress %v", told)
				}
				if s.count("StartMessageMoveTask") != 1 || s.count("CancelMessageMoveTask") != 0 {
					t.Errorf("calls: %v", s.calls)
				}
			})
		})
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task Task
		want map[string]any
	}{
		"as SQS likes": {Task{Source: source}, map[string]any{"SourceArn": source}},
		"as we like": {
			Task{Source: source, Destination: destination, Rate: 50},
			map[string]any{"SourceArn": source, "DestinationArn": destination, "MaxNumberOfMessagesPerSecond": 50.0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{List: []reply{{body: none}, results(completed)}, Start: []reply{{body: started}}}
			if _, err := Run(t.Context(), s.client(), c.task, nil); err != nil {
				t.Fatal(err)
			}
			if got := s.asked["StartMessageMoveTask"]; !maps.Equal(got, c.want) {
				t.Errorf("start: %v", got)
			}
			if got := s.asked["ListMessageMoveTasks"]; !maps.Equal(got, map[string]any{"SourceArn": source, "MaxResults": 10.0}) {
				t.Errorf("list: %v", got)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list, cancel []reply
		want         Result
		says         string
	}{
		"while it runs":        {[]reply{results(), results(runningOne)}, []reply{{body: cancelled}}, Result{Moved: 17, Total: 25, Cancelled: true}, ""},
		"while looks fail":     {[]reply{results(), results(runningOne), broken}, []reply{{body: cancelled}}, Result{Moved: 17, Total: 25, Cancelled: true}, ""},
		"throttled":            {[]reply{results(), results(runningOne)}, []reply{throttled, {body: cancelled}}, Result{Moved: 17, Total: 25, Cancelled: true}, ""},
		"it had just ended":    {[]reply{results(), results(runningOne), results(completed)}, []reply{inactive}, Result{Moved: 25, Total: 25}, ""},
		"it had just failed":   {[]reply{results(), results(runningOne), results(failed)}, []reply{inactive}, Result{Moved: 3, Total: 25}, "NonExistentQueue"},
		"nobody may cancel it": {[]reply{results(), results(runningOne)}, []reply{denied}, Result{Moved: 10, Total: 25}, handle},
		"no connection":        {[]reply{results(), results(runningOne), broken}, []reply{broken}, Result{Moved: 10, Total: 25}, handle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{List: c.list, Start: []reply{{body: started}}, Cancel: c.cancel}
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				go func() {
					time.Sleep(3 * time.Second)
					interrupt()
				}()
				got, err := Run(ctx, s.client(), task, nil)
				if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%+v, %v", got, err)
				}
				if asked := s.asked["CancelMessageMoveTask"]; asked["TaskHandle"] != handle {
					t.Errorf("cancelled %v", asked)
				}
			})
		})
	}
}

func TestInterruptedBeforeItBegins(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	s := &script{}
	if _, err := Run(ctx, s.client(), task, nil); !errors.Is(err, context.Canceled) || len(s.calls) > 0 {
		t.Errorf("%v after %v", err, s.calls)
	}
}
