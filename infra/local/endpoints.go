package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/infra/local/provision"
)

const (
	defaultRegion = "us-east-1"
	// dummyKey is both halves of the credentials for servers that check none.
	dummyKey = "local"

	reachTimeout = 10 * time.Second
)

// Endpoints are the servers that the user brings. What is empty is started by us.
type Endpoints struct {
	Region   string
	DynamoDB string
	Streams  string
	SNS      string
	SQS      string
	// Credentials are the user's own, for servers that check them. Nil means dummies.
	Credentials aws.CredentialsProvider
}

// EndpointsFrom reads AWS_ENDPOINT_URL_DYNAMODB, _DYNAMODB_STREAMS, _SNS and _SQS, or
// AWS_ENDPOINT_URL for all of them, and the region, by means of getenv. The user's credentials are
// used only where a server of the user's is.
func EndpointsFrom(ctx context.Context, getenv func(string) string) (Endpoints, error) {
	e := Endpoints{Region: cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), defaultRegion)}
	for service, to := range map[string]*string{"DYNAMODB": &e.DynamoDB, "DYNAMODB_STREAMS": &e.Streams, "SNS": &e.SNS, "SQS": &e.SQS} {
		var err error
		if *to, err = endpoint(service, getenv); err != nil {
			return e, err
		}
	}
	if e.DynamoDB == "" && e.Streams != "" {
		return e, errors.New("AWS_ENDPOINT_URL_DYNAMODB_STREAMS is set without AWS_ENDPOINT_URL_DYNAMODB: a stream lives where its table does, so set both or neither")
	}
	if (e.SNS == "") != (e.SQS == "") {
		return e, errors.New("AWS_ENDPOINT_URL_SNS and AWS_ENDPOINT_URL_SQS go together, because the topic delivers into the queues: set both or neither")
	}
	if e.Streams == "" {
		// The emulators serve both APIs at one address. Left alone, the SDK would ask real AWS.
		e.Streams = e.DynamoDB
	}
	if (e.DynamoDB != "" || e.SNS != "") && (getenv("AWS_ACCESS_KEY_ID") != "" || getenv("AWS_PROFILE") != "") {
		cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(awshttp.NewBuildableClient()))
		if err == nil {
			_, err = cfg.Credentials.Retrieve(ctx)
		}
		if err != nil {
			return e, fmt.Errorf("your AWS credentials do not work: %w; put them right, or unset AWS_PROFILE and AWS_ACCESS_KEY_ID if your servers check none", err)
		}
		e.Credentials = cfg.Credentials
	}
	return e, nil
}

// endpoint is the URL of a service, without a slash at its end; "" where none is named.
func endpoint(service string, getenv func(string) string) (string, error) {
	name := "AWS_ENDPOINT_URL_" + service
	text := getenv(name)
	if text == "" {
		name = "AWS_ENDPOINT_URL"
		text = getenv(name)
	}
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s is %q, which is no http:// or https:// URL: correct it, or unset it", name, text)
	}
	return strings.TrimSuffix(text, "/"), nil
}

// reach finds out whether the user's servers answer at all, before anything is installed or
// started for them.
func (e Endpoints) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, server := range []struct{ name, url string }{{"DynamoDB", e.DynamoDB}, {"DynamoDB Streams", e.Streams}, {"SNS", e.SNS}, {"SQS", e.SQS}} {
		if server.url == "" {
			continue
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			var detail *url.Error // which repeats the URL
			if errors.As(err, &detail) {
				err = detail.Err
			}
			return fmt.Errorf("%s does not answer at %s, which AWS_ENDPOINT_URL… names: %w; start it there, or unset the variable to have one started", server.name, server.url, err)
		}
		_ = response.Body.Close() // any answer will do
	}
	return nil
}

func (e Endpoints) config(url string) aws.Config {
	provider := e.Credentials
	if provider == nil {
		provider = credentials.NewStaticCredentialsProvider(dummyKey, dummyKey, "")
	}
	return aws.Config{
		Region:       e.Region,
		Credentials:  provider,
		BaseEndpoint: aws.String(url),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 16
			t.IdleConnTimeout = 30 * time.Second
		}),
	}
}

func (e Endpoints) clients() provision.Clients {
	return provision.Clients{
		DynamoDB: dynamodb.NewFromConfig(e.config(e.DynamoDB), func(o *dynamodb.Options) {
			// DynamoDB Local sends no checksum, and the SDK would warn of each reply without one.
			o.DisableValidateResponseChecksum = true
		}),
		SNS: sns.NewFromConfig(e.config(e.SNS)),
		SQS: sqs.NewFromConfig(e.config(e.SQS)),
	}
}

func (e Endpoints) streams() *dynamodbstreams.Client {
	return dynamodbstreams.NewFromConfig(e.config(e.Streams))
}

// variables is the environment by which any AWS client finds the servers.
func (e Endpoints) variables(ctx context.Context) (map[string]string, error) {
	key := aws.Credentials{AccessKeyID: dummyKey, SecretAccessKey: dummyKey}
	if e.Credentials != nil {
		var err error
		if key, err = e.Credentials.Retrieve(ctx); err != nil {
			return nil, fmt.Errorf("your AWS credentials: %w", err)
		}
	}
	v := map[string]string{
		"AWS_REGION":                        e.Region,
		"AWS_DEFAULT_REGION":                e.Region,
		"AWS_ACCESS_KEY_ID":                 key.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":             key.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED":         "true",
		"AWS_ENDPOINT_URL_DYNAMODB":         e.DynamoDB,
		"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": e.Streams,
		"AWS_ENDPOINT_URL_SNS":              e.SNS,
		"AWS_ENDPOINT_URL_SQS":              e.SQS,
	}
	if key.SessionToken != "" {
		v["AWS_SESSION_TOKEN"] = key.SessionToken
	}
	return v, nil
}
