package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iops-dashboard/live/scripts/replayer/failure"
	"github.com/iops-dashboard/live/scripts/replayer/failure/s3store"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

func store(t *testing.T, handler http.HandlerFunc) failure.Store {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return s3store.New(s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}))
}

var object = failure.Object{Bucket: "iops-dashboard-failures", Key: "aws/lambda/esm/shardId-1/2026/11/22/a +é"}

func TestGet(t *testing.T) {
	t.Parallel()
	var asked string
	s := store(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.Path
		fmt.Fprint(w, "document")
	})
	content, err := s.Get(t.Context(), object)
	if err != nil || string(content) != "document" || asked != "GET /iops-dashboard-failures/"+object.Key {
		t.Errorf("%q, %v, asked %s", content, err, asked)
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		code   string
		kind   error // nil: none
	}{
		{404, "NoSuchKey", failure.ErrMissing},
		{404, "NoSuchBucket", redrive.ErrDenied},
		{403, "AccessDenied", redrive.ErrDenied},
		{403, "InvalidAccessKeyId", redrive.ErrDenied},
		{403, "SignatureDoesNotMatch", redrive.ErrDenied},
		{400, "ExpiredToken", redrive.ErrDenied},
		{301, "PermanentRedirect", redrive.ErrDenied},
		{400, "KeyTooLongError", redrive.ErrRefused},
		{503, "SlowDown", nil},
		{400, "RequestTimeout", nil},
		{500, "InternalError", nil},
	} {
		t.Run(tc.code, func(t *testing.T) {
			t.Parallel()
			s := store(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>no</Message></Error>`, tc.code)
			})
			_, err := s.Get(t.Context(), object)
			if err == nil {
				t.Fatal("no error")
			}
			for _, kind := range []error{failure.ErrMissing, failure.ErrTooLarge, redrive.ErrDenied, redrive.ErrRefused} {
				if errors.Is(err, kind) != (kind == tc.kind) {
					t.Errorf("%v; is %v: %t", err, kind, errors.Is(err, kind))
				}
			}
		})
	}
}

// A content that breaks off is read once more, and is never taken for the whole.
func TestContentThatBreaksOff(t *testing.T) {
	t.Parallel()
	half := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "8")
		fmt.Fprint(w, "docu")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, breaks := range []int32{1, 2, 100} {
		var calls atomic.Int32
		s := store(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) <= breaks {
				half(w)
			}
			fmt.Fprint(w, "document")
		})
		content, err := s.Get(t.Context(), object)
		if breaks < 3 && (err != nil || string(content) != "document") || breaks == 100 && (err == nil || calls.Load() != 3) {
			t.Errorf("%d breaks: %q, %v after %d calls", breaks, content, err, calls.Load())
		}
	}
	var calls atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	s := store(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		cancel()
		half(w)
	})
	if _, err := s.Get(ctx, object); err == nil || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestAnObjectThatIsTooLarge(t *testing.T) {
	t.Parallel()
	for size, kind := range map[int]error{failure.MaxDocument: nil, failure.MaxDocument + 1: failure.ErrTooLarge} {
		s := store(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })
		content, err := s.Get(t.Context(), object)
		if !errors.Is(err, kind) || kind == nil && len(content) != size {
			t.Errorf("%d bytes: %d, %v", size, len(content), err)
		}
	}
}
