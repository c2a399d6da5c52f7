package pump

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// The news of a document is sent until it is told, notifyTries times at most, with some three seconds of pauses. A try that
// has no answer ends after notifyTimeout, so the shard waits for 15 seconds at most.
const (
	notifyTries   = 6
	notifyTimeout = 2 * time.Second
)

// NotifyingStore tells of each document that a store keeps, as a bucket of S3 tells a queue. If the news cannot be sent,
// the document is kept all the same, and the log says that nobody was told.
type NotifyingStore struct {
	FailureStore
	Bucket string
	Region string
	// Notify sends a message with this body. It ends with ctx, and is called concurrently.
	Notify func(ctx context.Context, body string) error
	Logger *slog.Logger
}

// Put implements FailureStore.
func (s NotifyingStore) Put(ctx context.Context, key string, document []byte) error {
	if err := s.FailureStore.Put(ctx, key, document); err != nil {
		return err
	}
	log := s.Logger.With("bucket", s.Bucket, "key", key)
	body, err := marshal(s.event(key, document))
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	trouble := trouble{logger: log, doing: "tell of what was kept"}
	retry := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for try := 1; ; try++ {
		err := s.notify(ctx, string(body))
		if err == nil {
			trouble.end(ctx)
			return nil
		}
		trouble.begin(ctx, err)
		if try == notifyTries || !wait(ctx, retry.next()) {
			log.ErrorContext(ctx, "NOBODY WAS TOLD of what was kept", "tries", try, "err", err)
			return nil
		}
	}
}

func (s NotifyingStore) notify(ctx context.Context, body string) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	return s.Notify(ctx, body)
}

// The message of S3. Keys are encoded as in the query of a URL, but for their slashes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type (
	storeEvent struct {
		Records []storeRecord `json:"Records"`
	}
	storeRecord struct {
		EventVersion      string            `json:"eventVersion"`
		EventSource       string            `json:"eventSource"`
		AWSRegion         string            `json:"awsRegion"`
		EventTime         string            `json:"eventTime"`
		EventName         string            `json:"eventName"`
		UserIdentity      storeIdentity     `json:"userIdentity"`
		RequestParameters map[string]string `json:"requestParameters"`
		ResponseElements  map[string]string `json:"responseElements"`
		S3                storeEntity       `json:"s3"`
	}
	storeIdentity struct {
		PrincipalID string `json:"principalId"`
	}
	storeEntity struct {
		SchemaVersion   string      `json:"s3SchemaVersion"`
		ConfigurationID string      `json:"configurationId"`
		Bucket          storeBucket `json:"bucket"`
		Object          storeObject `json:"object"`
	}
	storeBucket struct {
		Name          string        `json:"name"`
		OwnerIdentity storeIdentity `json:"ownerIdentity"`
		ARN           string        `json:"arn"`
	}
	storeObject struct {
		Key       string `json:"key"`
		Size      int    `json:"size"`
		ETag      string `json:"eTag"`
		Sequencer string `json:"sequencer"`
	}
)

func (s NotifyingStore) event(key string, document []byte) storeEvent {
	now := time.Now().UTC()
	sum := md5.Sum(document) // an ETag is no more than that
	return storeEvent{Records: []storeRecord{{
		EventVersion: "2.1", EventSource: "aws:s3", AWSRegion: s.Region, EventTime: now.Format("2006-01-02T15:04:05.000Z"),
		EventName: "ObjectCreated:Put", UserIdentity: storeIdentity{"local"},
		RequestParameters: map[string]string{"sourceIPAddress": "127.0.0.1"},
		ResponseElements:  map[string]string{"x-amz-request-id": newUUID(), "x-amz-id-2": newUUID()},
		S3: storeEntity{
			SchemaVersion: "1.0", ConfigurationID: s.Bucket,
			Bucket: storeBucket{Name: s.Bucket, OwnerIdentity: storeIdentity{"local"}, ARN: "arn:aws:s3:::" + s.Bucket},
			Object: storeObject{
				Key:  strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"),
				Size: len(document), ETag: hex.EncodeToString(sum[:]), Sequencer: fmt.Sprintf("%016X", now.UnixNano()),
			},
		},
	}}}
}
