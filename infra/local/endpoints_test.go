package local

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	dynamoURL  = "http://127.0.0.1:8000"
	otherURL   = "http://127.0.0.1:4566"
	streamsURL = "https://streams.example.com"
)

func TestEndpointsFrom(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want Endpoints
	}{
		"none": {nil, Endpoints{Region: defaultRegion}},
		"DynamoDB alone serves its streams too": {
			map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": dynamoURL},
			Endpoints{Region: defaultRegion, DynamoDB: dynamoURL, Streams: dynamoURL},
		},
		"streams at an address of their own": {
			map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": dynamoURL, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": streamsURL},
			Endpoints{Region: defaultRegion, DynamoDB: dynamoURL, Streams: streamsURL},
		},
		"SNS and SQS": {
			map[string]string{"AWS_ENDPOINT_URL_SNS": otherURL, "AWS_ENDPOINT_URL_SQS": dynamoURL},
			Endpoints{Region: defaultRegion, SNS: otherURL, SQS: dynamoURL},
		},
		"one for all": {
			map[string]string{"AWS_ENDPOINT_URL": otherURL + "/"},
			Endpoints{Region: defaultRegion, DynamoDB: otherURL, Streams: otherURL, SNS: otherURL, SQS: otherURL},
		},
		"the special goes before the general": {
			map[string]string{"AWS_ENDPOINT_URL": otherURL, "AWS_ENDPOINT_URL_DYNAMODB": dynamoURL, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dynamoURL},
			Endpoints{Region: defaultRegion, DynamoDB: dynamoURL, Streams: dynamoURL, SNS: otherURL, SQS: otherURL},
		},
		"region": {
			map[string]string{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"},
			Endpoints{Region: "eu-west-1"},
		},
		"region of the command line": {
			map[string]string{"AWS_DEFAULT_REGION": "eu-west-2"},
			Endpoints{Region: "eu-west-2"},
		},
		"credentials and a profile without a server of the user's": {
			map[string]string{"AWS_PROFILE": "nowhere", "AWS_ACCESS_KEY_ID": "AKIAUSER"},
			Endpoints{Region: defaultRegion},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := EndpointsFrom(t.Context(), func(n string) string { return tc.env[n] })
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestEndpointsFromSaysWhatIsWrong(t *testing.T) {
	aws := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(aws, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(aws, "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, tc := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"streams without tables": {map[string]string{"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dynamoURL}, []string{"AWS_ENDPOINT_URL_DYNAMODB:", "set both or neither"}},
		"topics without queues":  {map[string]string{"AWS_ENDPOINT_URL_SNS": otherURL}, []string{"AWS_ENDPOINT_URL_SQS", "set both or neither"}},
		"queues without topics":  {map[string]string{"AWS_ENDPOINT_URL_SQS": otherURL}, []string{"AWS_ENDPOINT_URL_SNS", "set both or neither"}},
		"no scheme":              {map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "localhost:8000"}, []string{"AWS_ENDPOINT_URL_DYNAMODB is", "localhost:8000", "http://"}},
		"no host":                {map[string]string{"AWS_ENDPOINT_URL": "http://"}, []string{"AWS_ENDPOINT_URL is", "unset it"}},
		"no URL":                 {map[string]string{"AWS_ENDPOINT_URL_SNS": "http://a b", "AWS_ENDPOINT_URL_SQS": otherURL}, []string{"AWS_ENDPOINT_URL_SNS is"}},
		"unknown profile": {
			map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": dynamoURL, "AWS_PROFILE": "nowhere"},
			[]string{"nowhere", "unset AWS_PROFILE"},
		},
		"half a key": {
			map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": dynamoURL, "AWS_ACCESS_KEY_ID": "AKIAUSER"},
			[]string{"your AWS credentials do not work", "unset AWS_PROFILE and AWS_ACCESS_KEY_ID"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
				t.Setenv(n, tc.env[n]) // the SDK reads these by itself
				if tc.env[n] == "" {
					os.Unsetenv(n)
				}
			}
			_, err := EndpointsFrom(t.Context(), func(n string) string { return tc.env[n] })
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: does not say %q", err, want)
				}
			}
		})
	}
}

func TestUsersCredentialsAreForTheirServersOnly(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUSER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "theirs")
	t.Setenv("AWS_SESSION_TOKEN", "token")
	t.Setenv("AWS_PROFILE", "")
	for name, tc := range map[string]struct {
		server, wantKey, wantToken string
	}{
		"their server": {dynamoURL, "AKIAUSER", "token"},
		"ours":         {"", dummyKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", tc.server)
			e, err := EndpointsFrom(t.Context(), os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			v, err := e.variables(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v["AWS_ACCESS_KEY_ID"] != tc.wantKey || v["AWS_SESSION_TOKEN"] != tc.wantToken {
				t.Errorf("key %q and token %q, want %q and %q", v["AWS_ACCESS_KEY_ID"], v["AWS_SESSION_TOKEN"], tc.wantKey, tc.wantToken)
			}
			used, err := e.config(dynamoURL).Credentials.Retrieve(t.Context())
			if err != nil || used.AccessKeyID != tc.wantKey {
				t.Errorf("our own clients use %q, %v", used.AccessKeyID, err)
			}
		})
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	answers := httptest.NewServer(http.NotFoundHandler())
	defer answers.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + free.Addr().String()
	_ = free.Close()

	if err := (Endpoints{}).reach(t.Context()); err != nil {
		t.Errorf("nothing to reach: %v", err)
	}
	if err := (Endpoints{DynamoDB: answers.URL, Streams: answers.URL}).reach(t.Context()); err != nil {
		t.Errorf("any answer will do, but: %v", err)
	}
	err = Endpoints{DynamoDB: answers.URL, Streams: answers.URL, SNS: nobody, SQS: answers.URL}.reach(t.Context())
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("reach() = %v, want one line", err)
	}
	for _, want := range []string{"SNS", nobody, "unset the variable"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
}
