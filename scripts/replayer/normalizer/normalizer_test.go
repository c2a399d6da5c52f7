package normalizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

const function = "iops-dashboard-normalizer"

// invoker is a function that answers an event.
type invoker func(event []byte) (*lambda.InvokeOutput, error)

func (f invoker) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	if *in.FunctionName != function || in.InvocationType != types.InvocationTypeRequestResponse {
		return nil, fmt.Errorf("invoked %s as %s", *in.FunctionName, in.InvocationType)
	}
	return f(in.Payload)
}

func answers(payload string) invoker {
	return func([]byte) (*lambda.InvokeOutput, error) { return &lambda.InvokeOutput{Payload: []byte(payload)}, nil }
}

func stream(sequence int) redrive.Entry {
	return redrive.Entry{Body: fmt.Sprintf(`{"eventID":"e%d","dynamodb":{"SequenceNumber":"%d"}}`, sequence, sequence)}
}

func send(t *testing.T, f normalizer.Invoker, entries ...redrive.Entry) map[int]redrive.Failure {
	t.Helper()
	failed, err := normalizer.New(f, function).Send(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	all := []int{0, 1, 2}
	for name, tc := range map[string]struct {
		payload string
		failed  []int
	}{
		"null failures":          {`{"batchItemFailures":null}`, nil},
		"no failures":            {`{"batchItemFailures":[]}`, nil},
		"one":                    {`{"batchItemFailures":[{"itemIdentifier":"8"}]}`, []int{1}},
		"one twice":              {`{"batchItemFailures":[{"itemIdentifier":"8"},{"itemIdentifier":"8"}]}`, []int{1}},
		"those of one sequence":  {`{"batchItemFailures":[{"itemIdentifier":"7"}]}`, []int{0, 2}},
		"empty":                  {`{"batchItemFailures":[{"itemIdentifier":""}]}`, all},
		"null":                   {`{"batchItemFailures":[{"itemIdentifier":null}]}`, all},
		"another name":           {`{"batchItemFailures":[{"foo":"7"}]}`, all},
		"unknown":                {`{"batchItemFailures":[{"itemIdentifier":"7"},{"itemIdentifier":"77"}]}`, all},
		"a number":               {`{"batchItemFailures":[{"itemIdentifier":7}]}`, all},
		"no list":                {`{"batchItemFailures":"7"}`, all},
		"no JSON":                {`{`, all},
		"nothing":                {``, all},
		"of some other function": {`null`, all},
		"another object":         {`{"statusCode":200}`, all},
		"another text":           {`"ok"`, all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := send(t, answers(tc.payload), stream(7), stream(8), stream(7))
			var got []int
			for i, f := range failed {
				if got = append(got, i); f.Sender || f.Code == "" {
					t.Errorf("%d: %+v, which would not be tried again", i, f)
				}
			}
			if slices.Sort(got); !slices.Equal(got, tc.failed) {
				t.Errorf("failed %v, want %v", got, tc.failed)
			}
		})
	}
}

// A record may have any form; the answer has an empty name for one without a sequence number.
func TestARecordWithoutASequenceNumberThatFails(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{`{}`, `{"dynamodb":7}`, `{"dynamodb":{"SequenceNumber":7}}`, `{"dynamodb":{"SequenceNumber":""}}`} {
		failed := send(t, answers(`{"batchItemFailures":[{"itemIdentifier":""}]}`), redrive.Entry{Body: odd}, stream(1))
		if len(failed) != 2 {
			t.Errorf("%s: failed %+v", odd, failed)
		}
		if failed := send(t, answers(`{"batchItemFailures":[{"itemIdentifier":"1"}]}`), redrive.Entry{Body: odd}, stream(1)); len(failed) != 1 || failed[1].Code == "" {
			t.Errorf("%s: failed %+v", odd, failed)
		}
	}
}

func TestWhatIsNoRecordIsNotGiven(t *testing.T) {
	t.Parallel()
	var given events.DynamoDBEvent
	f := invoker(func(event []byte) (*lambda.InvokeOutput, error) {
		return &lambda.InvokeOutput{Payload: []byte(`{"batchItemFailures":null}`)}, json.Unmarshal(event, &given)
	})
	failed := send(t, f, redrive.Entry{Body: `[1]`}, stream(1), redrive.Entry{Body: `{`}, redrive.Entry{Body: `{}{}`})
	if len(failed) != 3 || !failed[0].Sender || !failed[2].Sender || !failed[3].Sender || len(given.Records) != 1 || given.Records[0].EventID != "e1" {
		t.Errorf("failed %+v, given %+v", failed, given)
	}
	nobody := invoker(func([]byte) (*lambda.InvokeOutput, error) { return nil, errors.New("invoked for nothing") })
	if failed := send(t, nobody, redrive.Entry{Body: `null`}); len(failed) != 1 {
		t.Errorf("failed %+v", failed)
	}
	if failed := send(t, nobody); len(failed) != 0 {
		t.Errorf("failed %+v", failed)
	}
}

// Failures are in logs.
func TestWhatAFunctionSaysOfItsErrorIsNotQuoted(t *testing.T) {
	t.Parallel()
	for payload, code := range map[string]string{
		`{"errorType":"Runtime.ExitError","errorMessage":"SECRET"}`: "function error: Runtime.ExitError",
		`{"errorType":"*errors.errorString"}`:                       "function error: *errors.errorString",
		`{"errorType":"SECRET of stu_1","errorMessage":"SECRET"}`:   "function error",
		`{"errorType":7}`: "function error",
		`SECRET`:          "function error",
	} {
		f := invoker(func([]byte) (*lambda.InvokeOutput, error) {
			return &lambda.InvokeOutput{FunctionError: aws.String("Unhandled"), Payload: []byte(payload)}, nil
		})
		if got := send(t, f, stream(1))[0]; got != (redrive.Failure{Code: code}) {
			t.Errorf("%s: %+v", payload, got)
		}
	}
}

// sized is a record of so many bytes.
func sized(sequence, size int) redrive.Entry {
	e := stream(sequence)
	e.Body = strings.TrimSuffix(e.Body, "}") + `,"x":"`
	e.Body += strings.Repeat("x", size-len(e.Body)-2) + `"}`
	return e
}

// Batches are cut where an event would be too large, and nowhere else.
func TestEventsAreCutByBytes(t *testing.T) {
	t.Parallel()
	const most = 2000
	frame := len(`{"Records":[]}`)
	for name, tc := range map[string]struct {
		sizes []int
		calls []int
		lost  int
	}{
		"all in one":           {[]int{100, 100, 100}, []int{3}, 0},
		"just one":             {[]int{most - frame}, []int{1}, 0},
		"one too many":         {[]int{most - frame, 100}, []int{1, 1}, 0},
		"just two":             {[]int{most - frame - 101, 100, 100}, []int{2, 1}, 0},
		"a byte too many":      {[]int{most - frame - 100, 100}, []int{1, 1}, 0},
		"one that never fits":  {[]int{100, most - frame + 1, 100}, []int{2}, 1},
		"large ones in a row":  {[]int{1500, 1500, 200, 200}, []int{1, 3}, 0},
		"all of them too much": {[]int{most}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls, order []int
			f := invoker(func(event []byte) (*lambda.InvokeOutput, error) {
				if len(event) > most {
					t.Errorf("an event of %d bytes", len(event))
				}
				var given events.DynamoDBEvent
				if err := json.Unmarshal(event, &given); err != nil {
					t.Fatal(err)
				}
				for _, r := range given.Records {
					n, _ := strconv.Atoi(r.Change.SequenceNumber)
					order = append(order, n)
				}
				calls = append(calls, len(given.Records))
				return &lambda.InvokeOutput{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
			})
			var entries []redrive.Entry
			for i, size := range tc.sizes {
				entries = append(entries, sized(i, size))
			}
			failed, err := normalizer.NewBounded(f, function, most).Send(t.Context(), entries)
			if err != nil || !slices.Equal(calls, tc.calls) || len(failed) != tc.lost || !slices.IsSorted(order) {
				t.Errorf("%v, calls of %v records, want %v; failed %+v; order %v", err, calls, tc.calls, failed, order)
			}
			for _, why := range failed {
				if why.Code != "too large" || !why.Sender {
					t.Errorf("%+v", why)
				}
			}
		})
	}
	if normalizer.MaxEvent != 6<<20 {
		t.Errorf("the event of an invocation has 6 MB, not %d bytes", normalizer.MaxEvent)
	}
}

// What a call did before another failed is known, and is said.
func TestWhatWasDoneBeforeAnErrorIsDone(t *testing.T) {
	t.Parallel()
	calls := 0
	f := invoker(func([]byte) (*lambda.InvokeOutput, error) {
		if calls++; calls == 2 {
			return nil, errors.New("connection reset")
		}
		return &lambda.InvokeOutput{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
	})
	failed, err := normalizer.NewBounded(f, function, 1000).Send(t.Context(), []redrive.Entry{sized(1, 600), sized(2, 600), sized(3, 600)})
	if err != nil || calls != 3 || len(failed) != 1 || failed[1].Code != "no confirmation" || failed[1].Sender {
		t.Errorf("%v, %d calls, failed %+v", err, calls, failed)
	}
}

// Whatever a function does to which records, what it did not do is failed, and what it did is not; and a record at which it
// dies takes no other with it.
func TestWhatFailedIsFailed(t *testing.T) {
	t.Parallel()
	const fine, failing, deadly = 0, 1, 2
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, redrive.MaxBatch).Draw(t, "n")
		fate, sequence := make([]int, n), make([]int, n)
		entries := make([]redrive.Entry, n)
		for i := range n {
			fate[i] = rapid.SampledFrom([]int{fine, fine, failing, deadly}).Draw(t, "fate")
			sequence[i] = rapid.IntRange(1, 12).Draw(t, "sequence")
			entries[i] = redrive.Entry{Body: fmt.Sprintf(`{"eventID":"%d","dynamodb":{"SequenceNumber":"%d"}}`, i, sequence[i])}
		}
		done := make([]int, n) // how often
		f := invoker(func(event []byte) (*lambda.InvokeOutput, error) {
			var given events.DynamoDBEvent
			if err := json.Unmarshal(event, &given); err != nil {
				t.Fatal(err)
			}
			var answer events.DynamoDBEventResponse
			last := -1
			for _, r := range given.Records {
				i, _ := strconv.Atoi(r.EventID)
				if i <= last {
					t.Fatalf("%d is behind %d", i, last)
				}
				last = i
				switch fate[i] {
				case deadly:
					return &lambda.InvokeOutput{FunctionError: aws.String("Unhandled"), Payload: []byte(`{"errorType":"Runtime.ExitError"}`)}, nil
				case failing:
					answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: r.Change.SequenceNumber})
				}
			}
			for _, r := range given.Records {
				if i, _ := strconv.Atoi(r.EventID); fate[i] == fine {
					done[i]++
				}
			}
			payload, err := json.Marshal(answer)
			return &lambda.InvokeOutput{Payload: payload}, err
		})
		failed, err := normalizer.New(f, function).Send(t.Context(), entries)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			_, bad := failed[i]
			twin := false // one that fails has its sequence number
			for j := range n {
				twin = twin || fate[j] == failing && sequence[j] == sequence[i]
			}
			switch {
			case fate[i] != fine && !bad:
				t.Fatalf("%d did not fail: %+v", i, failed)
			case fate[i] == fine && done[i] != 1:
				t.Fatalf("%d was done %d times", i, done[i])
			case fate[i] == fine && bad && !twin:
				t.Fatalf("%d was done, and failed: %+v", i, failed)
			}
		}
	})
}

// The kinds of errors, as the API answers.
func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		code   string
		kind   error // nil: none
	}{
		{403, "AccessDeniedException", redrive.ErrDenied},
		{403, "ExpiredTokenException", redrive.ErrDenied},
		{403, "UnrecognizedClientException", redrive.ErrDenied},
		{403, "InvalidSignatureException", redrive.ErrDenied},
		{404, "ResourceNotFoundException", redrive.ErrDenied},
		{502, "KMSAccessDeniedException", redrive.ErrDenied},
		{502, "InvalidRuntimeException", redrive.ErrDenied},
		{413, "RequestTooLargeException", redrive.ErrRefused},
		{400, "InvalidRequestContentException", redrive.ErrRefused},
		{400, "InvalidParameterValueException", redrive.ErrRefused},
		{415, "UnsupportedMediaTypeException", redrive.ErrRefused},
		{429, "TooManyRequestsException", nil},
		{409, "ResourceConflictException", nil},
		{409, "SnapStartNotReadyException", nil},
		{500, "ServiceException", nil},
		{502, "EC2ThrottledException", nil},
		{503, "", nil},
	} {
		t.Run(fmt.Sprint(tc.status, tc.code), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Errortype", tc.code)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, `{"Type":"User","message":"no"}`)
			}))
			defer server.Close()
			failed, err := normalizer.New(client(server.URL), function).Send(t.Context(), []redrive.Entry{stream(1), stream(2)})
			denied, refused := errors.Is(err, redrive.ErrDenied), errors.Is(err, redrive.ErrRefused)
			if err == nil || len(failed) > 0 || denied != (tc.kind == redrive.ErrDenied) || refused != (tc.kind == redrive.ErrRefused) {
				t.Errorf("%v, failed %+v", err, failed)
			}
		})
	}
	_, err := normalizer.New(client("http://127.0.0.1:1"), function).Send(t.Context(), []redrive.Entry{stream(1)})
	if err == nil || errors.Is(err, redrive.ErrDenied) || errors.Is(err, redrive.ErrRefused) {
		t.Errorf("nobody is there: %v", err)
	}
}

// On the wire it is the call of the API, with what the function reads from its mapping.
func TestTheCallOfTheAPI(t *testing.T) {
	t.Parallel()
	var path, kind, body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		path, kind, body = r.Method+" "+r.URL.Path, r.Header.Get("X-Amz-Invocation-Type"), string(content)
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"batchItemFailures":[{"itemIdentifier":"2"}]}`)
	}))
	defer server.Close()
	entries := []redrive.Entry{stream(1), stream(2)}
	entries[0].Attributes = map[string]redrive.Attribute{redrive.RunAttribute: redrive.Text("r1"), redrive.CountAttribute: {Type: "Number", Value: []byte("2")}}
	failed := send(t, client(server.URL), entries...)
	want := `{"Records":[{"eventID":"e1","dynamodb":{"SequenceNumber":"1"},"replay":{"run":"r1","count":2}},{"eventID":"e2","dynamodb":{"SequenceNumber":"2"}}]}`
	if path != "POST /2015-03-31/functions/"+function+"/invocations" || kind != "RequestResponse" || body != want || len(failed) != 1 || failed[1].Code == "" {
		t.Errorf("%s as %s:\n%s\nwant\n%s\nfailed %+v", path, kind, body, want, failed)
	}
	crashing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		_, _ = io.WriteString(w, `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: exit status 1"}`)
	}))
	defer crashing.Close()
	if failed := send(t, client(crashing.URL), entries...); failed[0].Code != "function error: Runtime.ExitError" || failed[1] != failed[0] {
		t.Errorf("failed %+v", failed)
	}
}

func client(url string) *lambda.Client {
	return lambda.New(lambda.Options{
		Region: "us-east-1", BaseEndpoint: &url, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}
