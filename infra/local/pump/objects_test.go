package pump

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
)

const bucket = "iops-dashboard-failures"

// kept is a store with one document, and beside its folder a file that is none of its own.
func kept(t *testing.T) (store DirectoryStore, document []byte) {
	t.Helper()
	home := t.TempDir()
	store = DirectoryStore{filepath.Join(home, "failures")}
	document = bytes.Repeat([]byte("given up\n"), 100_000)
	if err := store.Put(t.Context(), givenUp, document); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "outside"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return store, document
}

func TestObjectsAreReadByTheSDK(t *testing.T) {
	store, document := kept(t)
	server := httptest.NewServer(Objects{bucket: store})
	defer server.Close()
	var warned bytes.Buffer
	client := s3.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), Logger: logging.NewStandardLogger(&warned),
		Credentials:                credentials.NewStaticCredentialsProvider("local", "local", ""),
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported, // as LoadDefaultConfig has it
	})
	got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(givenUp)})
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(content, document) || *got.ContentLength != int64(len(document)) {
		t.Errorf("read %d bytes of %d, %v", len(content), len(document), err)
	}
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(givenUp)})
	if err != nil || *head.ContentLength != int64(len(document)) || *head.ETag != *got.ETag || head.LastModified.IsZero() {
		t.Errorf("the head is %+v, %v", head, err)
	}
	if warned.Len() > 0 {
		t.Errorf("the SDK says %s", &warned)
	}
	part, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(givenUp), Range: aws.String("bytes=6-7")})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(part.Body); err != nil || string(content) != "up" {
		t.Errorf("a part is %q, %v", content, err)
	}

	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("aws/lambda/gone")})
	if _, ok := errors.AsType[*types.NoSuchKey](err); !ok {
		t.Errorf("what is gone: %v", err)
	}
	_, err = client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("aws/lambda/gone")})
	if _, ok := errors.AsType[*types.NotFound](err); !ok {
		t.Errorf("the head of what is gone: %v", err)
	}
	if _, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("new")}); err == nil {
		t.Error("an object was put")
	}
}

// What the news calls the object's tag is its tag.
func TestObjectsTagIsThatOfTheNews(t *testing.T) {
	r := newTold(t)
	if err := r.Put(t.Context(), givenUp, []byte("document")); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest("GET", "/"+bucket+"/x", nil)
	request.URL.Path = "/" + bucket + "/" + givenUp
	Objects{bucket: r.FailureStore.(DirectoryStore)}.ServeHTTP(answer, request)
	if got := answer.Header().Get("ETag"); got != `"fdc3bdefb79cec8eb8211d2499e04704"` || answer.Body.String() != "document" {
		t.Errorf("%d %s: %s", answer.Code, got, answer.Body)
	}
}

func TestObjectsServesNothingElse(t *testing.T) {
	store, _ := kept(t)
	home := filepath.Dir(store.Directory)
	if err := os.Symlink(filepath.Join(home, "outside"), filepath.Join(store.Directory, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{draft + "1", filepath.Join("aws", draft+"2")} {
		if err := os.WriteFile(filepath.Join(store.Directory, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects := Objects{bucket: store}
	for _, tc := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/" + bucket + "/aws/lambda/gone", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/aws/lambda", 404, "NoSuchKey"}, // a folder is no object
		{"GET", "/" + bucket + "/aws/lambda/", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/../outside", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/aws/../../outside", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/" + home + "/outside", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/" + givenUp + "/below", 404, "NoSuchKey"},        // a document is no folder
		{"GET", "/" + bucket + "/" + strings.Repeat("k", 1000), 404, "NoSuchKey"}, // longer than a name of a file may be
		{"GET", "/" + bucket + "/.", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "//" + givenUp, 404, "NoSuchKey"}, // another key to S3
		{"GET", "/" + bucket + "/aws/./" + givenUp[len("aws/"):], 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/" + givenUp + "\x00", 500, "InternalError"},
		{"GET", "/" + bucket + "/" + draft + "1", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/aws/" + draft + "2", 404, "NoSuchKey"},
		{"GET", "/" + bucket + "/link", 500, "InternalError"},
		{"GET", "/elsewhere/" + givenUp, 404, "NoSuchBucket"},
		{"GET", "/../" + givenUp, 404, "NoSuchBucket"},
		{"GET", "/", 405, "MethodNotAllowed"},
		{"GET", "/" + bucket, 405, "MethodNotAllowed"},
		{"GET", "/" + bucket + "/", 405, "MethodNotAllowed"},
		{"PUT", "/" + bucket + "/new", 405, "MethodNotAllowed"},
		{"POST", "/" + bucket + "/" + givenUp, 405, "MethodNotAllowed"},
		{"DELETE", "/" + bucket + "/" + givenUp, 405, "MethodNotAllowed"},
		{"OPTIONS", "/" + bucket + "/" + givenUp, 405, "MethodNotAllowed"},
	} {
		request := httptest.NewRequest(tc.method, "/", nil)
		request.URL.Path = tc.path
		answer := httptest.NewRecorder()
		objects.ServeHTTP(answer, request)
		var fault struct {
			XMLName xml.Name `xml:"Error"`
			Code    string
		}
		if err := xml.Unmarshal(answer.Body.Bytes(), &fault); err != nil || answer.Code != tc.status || fault.Code != tc.code {
			t.Errorf("%s %q: %d %s, want %d %s (%v)", tc.method, tc.path, answer.Code, answer.Body, tc.status, tc.code, err)
		}
	}
}
