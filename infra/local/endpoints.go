package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	get := func(service string) string {
		url := getenv("AWS_ENDPOINT_URL_" + service)
		if url == "" {
			url = getenv("AWS_ENDPOINT_URL")
		}
		return strings.TrimSuffix(url, "/")
	}
	e := Endpoints{
		Region:   getenv("AWS_REGION"),
		DynamoDB: get("DYNAMODB"), Streams: get("DYNAMODB_STREAMS"), SNS: get("SNS"), SQS: get("SQS"),
	}
	if e.Region == "" {
		e.Region = defaultRegion
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
		if err != nil {
			return e, fmt.Errorf("your AWS credentials: %w", err)
		}
		e.Credentials = cfg.Credentials
	}
	return e, nil
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
