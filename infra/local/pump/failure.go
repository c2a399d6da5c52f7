package pump

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Conditions of an on-failure document.
const (
	conditionExhausted = "RetryAttemptsExhausted"
	conditionTooOld    = "RecordAgeExceeded"
	// conditionTooLarge is ours: a single record whose event is over 6 MB, which no invocation can carry.
	conditionTooLarge = "PayloadTooLarge"
)

// FailureStore keeps what was given up, for a replay.
type FailureStore interface {
	// Put keeps a document under a key of its own, a path of slashes. When it returns nil the document is safe; after
	// an error it is called again with the same key until it succeeds, so a document half kept must be replaced. It is
	// called concurrently for different shards. The document is not retained by the caller.
	Put(ctx context.Context, key string, document []byte) error
}

// DirectoryStore keeps each document in a file under a directory, as an S3 bucket would under its key. A file appears
// whole or not at all.
type DirectoryStore struct{ Directory string }

var _ FailureStore = DirectoryStore{}

// draft begins the name of a file that is not whole yet.
const draft = ".new-"

// Put implements FailureStore.
func (s DirectoryStore) Put(_ context.Context, key string, document []byte) (err error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return fmt.Errorf("pump: key %q leads out of the store", key)
	}
	path := filepath.Join(s.Directory, filepath.FromSlash(key))
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("pump: keep failure: %w", err)
	}
	file, err := os.CreateTemp(directory, draft+"*")
	if err != nil {
		return fmt.Errorf("pump: keep failure: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
			err = fmt.Errorf("pump: keep failure: %w", err)
		}
	}()
	if _, err = file.Write(document); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(directory)
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// failureDocument is what AWS writes to an S3 destination.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
type failureDocument struct {
	RequestContext  requestContext   `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext,omitempty"` // absent where there was no invocation
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Batch           batchInfo        `json:"DDBStreamBatchInfo"`
	Payload         string           `json:"payload"` // the event, as a string
}

type requestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"`
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"` // absent where the response named the failures
}

type batchInfo struct {
	ShardID                         string `json:"shardId"`
	StartSequenceNumber             string `json:"startSequenceNumber"`
	EndSequenceNumber               string `json:"endSequenceNumber"`
	ApproximateArrivalOfFirstRecord string `json:"approximateArrivalOfFirstRecord,omitempty"`
	ApproximateArrivalOfLastRecord  string `json:"approximateArrivalOfLastRecord,omitempty"`
	BatchSize                       int    `json:"batchSize"`
	StreamARN                       string `json:"streamArn"`
}

// giveUp keeps records that will not be tried again. It tries until the store has them; it is false if ctx ended first.
func (r *reader) giveUp(ctx context.Context, piece []record, condition string, attempts int, response *Response) bool {
	log := r.logger.With("condition", condition, "records", len(piece), "sequence", piece[0].sequence, "attempts", attempts)
	if r.store == nil {
		log.ErrorContext(ctx, "RECORDS ARE LOST: they were given up and there is no failure store")
		return true
	}
	now := time.Now().UTC()
	first, last := piece[0], piece[len(piece)-1]
	document := failureDocument{
		RequestContext: requestContext{
			RequestID: newUUID(), FunctionARN: r.functionARN(), Condition: condition, ApproximateInvokeCount: attempts,
		},
		Version:   "1.0",
		Timestamp: now.Format("2006-01-02T15:04:05.000Z"),
		Batch: batchInfo{
			ShardID:                         r.shard.id,
			StartSequenceNumber:             first.sequence,
			EndSequenceNumber:               last.sequence,
			ApproximateArrivalOfFirstRecord: arrival(first),
			ApproximateArrivalOfLastRecord:  arrival(last),
			BatchSize:                       len(piece),
			StreamARN:                       r.mapping.StreamARN,
		},
		Payload: string(event(piece)),
	}
	if response != nil {
		document.RequestContext.RequestID = response.RequestID
		document.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: response.Version, FunctionError: response.FunctionError}
	}
	encoded, err := marshal(document)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	key := "aws/lambda/" + r.mapping.UUID + "/" + r.shard.id + "/" + now.Format("2006/01/02/2006-01-02T15.04.05") + "-" + newUUID()
	trouble := trouble{logger: log, doing: "keep what was given up"}
	retry := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for {
		if err := r.store.Put(ctx, key, encoded); err == nil {
			trouble.end(ctx)
			log.ErrorContext(ctx, "records were given up into the failure store", "key", key)
			return true
		} else {
			trouble.begin(ctx, err)
		}
		if !wait(ctx, retry.next()) {
			return false
		}
	}
}

func arrival(r record) string {
	if r.created.IsZero() {
		return ""
	}
	return r.created.UTC().Format("2006-01-02T15:04:05Z")
}

// functionARN puts a plain name in the stream's region and account.
func (r *reader) functionARN() string {
	stream := strings.Split(r.mapping.StreamARN, ":")
	if strings.HasPrefix(r.mapping.Function, "arn:") || len(stream) < 5 {
		return r.mapping.Function
	}
	return strings.Join([]string{stream[0], stream[1], "lambda", stream[3], stream[4], "function", r.mapping.Function}, ":")
}

// newUUID returns a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
