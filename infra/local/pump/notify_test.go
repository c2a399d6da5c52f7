package pump

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// told is a store of documents, and whoever is told of them.
type told struct {
	NotifyingStore
	log    *logCounter
	bodies []string
	fail   func(ctx context.Context, try int) error
	tries  int
}

func newTold(t *testing.T) *told {
	r := &told{log: &logCounter{}}
	r.NotifyingStore = NotifyingStore{
		FailureStore: DirectoryStore{t.TempDir()}, Bucket: "iops-dashboard-failures", Region: "eu-west-1", Logger: slog.New(r.log),
		Notify: func(ctx context.Context, body string) error {
			r.tries++
			if r.fail != nil {
				if err := r.fail(ctx, r.tries); err != nil {
					return err
				}
			}
			r.bodies = append(r.bodies, body)
			return nil
		},
	}
	return r
}

func (r *told) wantKept(t *testing.T, key, document string) {
	t.Helper()
	path := filepath.Join(r.FailureStore.(DirectoryStore).Directory, key)
	if got, err := os.ReadFile(path); err != nil || string(got) != document {
		t.Errorf("kept %q, %v", got, err)
	}
}

const givenUp = "aws/lambda/esm/shardId-1/2026/11/22/2026-11-22T21.00.00-id +é"

// Whoever reads events of S3 reads this one, key and all.
func TestNewsAreThoseOfS3(t *testing.T) {
	r := newTold(t)
	before := time.Now().Truncate(time.Millisecond)
	for range 2 {
		if err := r.Put(t.Context(), givenUp, []byte("document")); err != nil {
			t.Fatal(err)
		}
	}
	r.wantKept(t, givenUp, "document")
	if len(r.bodies) != 2 {
		t.Fatalf("told %d times", len(r.bodies))
	}
	var all [2]events.S3Event
	for i := range all {
		if err := json.Unmarshal([]byte(r.bodies[i]), &all[i]); err != nil || len(all[i].Records) != 1 {
			t.Fatalf("%v in %s", err, r.bodies[i])
		}
	}
	got := all[0].Records[0]
	if got.EventSource != "aws:s3" || got.EventName != "ObjectCreated:Put" || got.AWSRegion != "eu-west-1" || got.EventVersion != "2.1" ||
		got.EventTime.Before(before) || got.EventTime.After(time.Now()) {
		t.Errorf("got %+v", got)
	}
	if b := got.S3.Bucket; b.Name != "iops-dashboard-failures" || b.Arn != "arn:aws:s3:::iops-dashboard-failures" {
		t.Errorf("bucket %+v", b)
	}
	const encoded = "aws/lambda/esm/shardId-1/2026/11/22/2026-11-22T21.00.00-id+%2B%C3%A9"
	if o := got.S3.Object; o.Key != encoded || o.URLDecodedKey != givenUp || o.Size != 8 || o.ETag != "fdc3bdefb79cec8eb8211d2499e04704" {
		t.Errorf("object %+v", o)
	}
	if a, b := got.S3.Object.Sequencer, all[1].Records[0].S3.Object.Sequencer; a >= b {
		t.Errorf("sequencers %s and %s do not rise", a, b)
	}
}

func TestNothingIsToldOfWhatIsNotKept(t *testing.T) {
	r := newTold(t)
	if err := r.Put(t.Context(), "../out", []byte("document")); err == nil || r.tries > 0 {
		t.Errorf("%v, told %d times", err, r.tries)
	}
}

func TestNewsAreRepeatedUntilTheyAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTold(t)
		r.fail = func(_ context.Context, try int) error {
			if try < notifyTries {
				return errors.New("the queue is away")
			}
			return nil
		}
		if err := r.Put(t.Context(), givenUp, []byte("document")); err != nil || len(r.bodies) != 1 {
			t.Errorf("%v, told %d times", err, len(r.bodies))
		}
		if warned, healed := r.log.count("WARN cannot tell"), r.log.count("INFO can tell"); warned != 1 || healed != 1 || r.log.count("NOBODY") != 0 {
			t.Errorf("logged %q", r.log.lines)
		}
	})
}

// A queue that is away for good does not hold up the shard, and the document stays.
func TestUntoldNewsAreSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTold(t)
		r.fail = func(context.Context, int) error { return errors.New("the queue is away") }
		began := time.Now()
		if err := r.Put(t.Context(), givenUp, []byte("document")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); r.tries != notifyTries || took > 5*time.Second || took < time.Second {
			t.Errorf("%d tries in %s", r.tries, took)
		}
		if r.log.count("ERROR NOBODY WAS TOLD") != 1 {
			t.Errorf("logged %q", r.log.lines)
		}
		r.wantKept(t, givenUp, "document")

		// Nor does it hold up the end.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		if err := r.Put(ctx, givenUp, []byte("again")); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		r.wantKept(t, givenUp, "again")
	})
}

// A queue that never answers is as good as none: each try ends, and so does the shard's wait.
func TestHangingNewsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTold(t)
		r.fail = func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		began := time.Now()
		if err := r.Put(t.Context(), givenUp, []byte("document")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); r.tries != notifyTries || took < notifyTries*notifyTimeout || took > 16*time.Second {
			t.Errorf("%d tries in %s", r.tries, took)
		}
		if r.log.count("ERROR NOBODY WAS TOLD") != 1 {
			t.Errorf("logged %q", r.log.lines)
		}
		r.wantKept(t, givenUp, "document")
	})
}
