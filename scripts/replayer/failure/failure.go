// Package failure reads what Lambda leaves of records that it gave up: the notice of S3, the document that the store has,
// and the records themselves, from the document or once more from the stream.
package failure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
)

// Notice is what a message in the queue of given-up records tells.
type Notice struct {
	// Objects are the documents that a store was given.
	Objects []Object
	// Document is there if the queue is the destination itself: it holds no records then.
	Document *Document
	// Test says that S3 tried whether it can send to the queue: nobody needs the message.
	Test bool
}

// Object is where a document lies.
type Object struct{ Bucket, Key string }

var errForm = errors.New("it is neither a notice of S3 nor a document of Lambda")

// ReadNotice reads the body of a message. Its errors quote nothing of it.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func ReadNotice(body string) (Notice, error) {
	var n struct {
		Service, Event string // of a test
		Records        []struct {
			Source string `json:"eventSource"`
			Name   string `json:"eventName"`
			S3     struct {
				Bucket struct {
					Name string `json:"name"`
				} `json:"bucket"`
				Object struct {
					Key string `json:"key"`
				} `json:"object"`
			} `json:"s3"`
		}
		Request json.RawMessage `json:"requestContext"` // of a document
	}
	if json.Unmarshal([]byte(body), &n) != nil {
		return Notice{}, errForm
	}
	switch {
	case n.Event == "s3:TestEvent":
		return Notice{Test: true}, nil
	case n.Request != nil:
		d, err := ReadDocument([]byte(body))
		if err != nil {
			return Notice{}, err
		}
		return Notice{Document: &d}, nil
	case len(n.Records) == 0:
		return Notice{}, errForm
	}
	var notice Notice
	for _, r := range n.Records {
		// As in the query of a URL: a space is a plus sign.
		key, err := url.QueryUnescape(r.S3.Object.Key)
		switch {
		case r.Source != "aws:s3" || !strings.HasPrefix(r.Name, "ObjectCreated:"):
			return Notice{}, errors.New("it tells of something else than an object that was created")
		case err != nil || key == "" || r.S3.Bucket.Name == "":
			return Notice{}, errors.New("it does not name an object")
		}
		notice.Objects = append(notice.Objects, Object{r.S3.Bucket.Name, key})
	}
	return notice, nil
}

// Document is what Lambda writes when it gives up a part of a shard. Texts and times are zero where it does not tell.
type Document struct {
	Condition     string // as RetryAttemptsExhausted
	Tries         int    // about
	FunctionError string // empty if the function named the records that failed
	At            time.Time

	Stream, Shard string // the ARN, and the id
	Start, End    string // sequence numbers of the first record and the last
	First, Last   time.Time
	Size          int // how many records there are

	// Payload are the records as Lambda gave them to the function; nil where the document does not have them.
	Payload []json.RawMessage
}

// ReadDocument reads a document. Its errors quote nothing of it.
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
func ReadDocument(text []byte) (Document, error) {
	var form struct {
		Version   string `json:"version"`
		Timestamp string `json:"timestamp"`
		Request   struct {
			Condition string `json:"condition"`
			Tries     int    `json:"approximateInvokeCount"`
		} `json:"requestContext"`
		Response struct {
			FunctionError string `json:"functionError"`
		} `json:"responseContext"`
		Batch *struct {
			Shard  string `json:"shardId"`
			Start  string `json:"startSequenceNumber"`
			End    string `json:"endSequenceNumber"`
			First  string `json:"approximateArrivalOfFirstRecord"`
			Last   string `json:"approximateArrivalOfLastRecord"`
			Size   int    `json:"batchSize"`
			Stream string `json:"streamArn"`
		} `json:"DDBStreamBatchInfo"`
		Payload *string `json:"payload"`
	}
	if json.Unmarshal(text, &form) != nil {
		return Document{}, errors.New("it is no document of Lambda")
	}
	if major, _, _ := strings.Cut(form.Version, "."); major != "1" && form.Version != "" {
		return Document{}, fmt.Errorf("a document of Lambda: %w", deadletter.ErrNewer)
	}
	if form.Batch == nil {
		return Document{}, errors.New("it is a document of Lambda, but none of a stream of DynamoDB")
	}
	d := Document{
		Condition: form.Request.Condition, Tries: form.Request.Tries, FunctionError: form.Response.FunctionError, At: instant(form.Timestamp),
		Stream: form.Batch.Stream, Shard: form.Batch.Shard, Start: form.Batch.Start, End: form.Batch.End,
		First: instant(form.Batch.First), Last: instant(form.Batch.Last), Size: form.Batch.Size,
	}
	if form.Payload == nil {
		if d.Table() == "" || d.Shard == "" || !number(d.Start) || !number(d.End) || compare(d.Start, d.End) > 0 {
			return Document{}, errors.New("it has neither records nor where in a stream they are")
		}
		return d, nil
	}
	var event struct{ Records []json.RawMessage }
	if json.Unmarshal([]byte(*form.Payload), &event) != nil || len(event.Records) == 0 {
		return Document{}, errors.New("its payload is not the event of a stream")
	}
	d.Payload = event.Records
	return d, nil
}

func instant(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text)
	return t.UTC()
}

// Table is the name of the table.
func (d Document) Table() string {
	_, rest, _ := strings.Cut(d.Stream, ":table/")
	name, label, _ := strings.Cut(rest, "/stream/")
	if label == "" {
		return ""
	}
	return name
}

// Letter says why the records were given up, and when. Whose they are the document does not say.
func (d Document) Letter() deadletter.Letter {
	tries := "tries"
	if d.Tries == 1 {
		tries = "try"
	}
	cause := fmt.Sprintf("%s after %d %s", d.Condition, d.Tries, tries)
	if d.FunctionError != "" {
		cause += ", " + d.FunctionError
	}
	return deadletter.Letter{Cause: cause, Type: "stream record", SentAt: d.At}
}
