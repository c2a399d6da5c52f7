package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// errAbsent: what was asked for is not there.
var errAbsent = errors.New("it is not there")

// cloud is what the steps ask of AWS. The SDK repeats calls that fail by chance; each method returns why AWS refused in
// AWS's own words, without what the SDK adds. It may be used concurrently.
type cloud struct {
	region string
	config aws.Config
}

// tryLimit is how long one try of a call may take, of which the SDK makes a few. The canary runs for half a minute.
const tryLimit = 2 * time.Minute

// identity is who we are to AWS.
type identity struct{ account, arn string }

func newCloud(ctx context.Context) (*cloud, error) {
	config, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(tryLimit)))
	if err != nil {
		return nil, fmt.Errorf("your AWS settings cannot be read: %w", err)
	}
	if config.Region == "" {
		return nil, errors.New("no Region: name one in AWS_REGION, as us-east-1, or in the profile that AWS_PROFILE names")
	}
	return &cloud{region: config.Region, config: config}, nil
}

func (c *cloud) identity(ctx context.Context) (identity, error) {
	out, err := sts.NewFromConfig(c.config).GetCallerIdentity(ctx, nil)
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused):
		return identity{}, fmt.Errorf("AWS does not accept the credentials (%s): sign in again, as with aws sso login, or name others", refused.ErrorCode())
	case err != nil && strings.Contains(err.Error(), "get credentials"):
		return identity{}, fmt.Errorf("no AWS credentials (%w): name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as for the AWS CLI", innermost(err))
	case err != nil:
		return identity{}, fmt.Errorf("AWS does not answer: %w", plain(err))
	}
	return identity{aws.ToString(out.Account), aws.ToString(out.Arn)}, nil
}

// parameter is the value of one of Systems Manager, or errAbsent.
func (c *cloud) parameter(ctx context.Context, name string) (string, error) {
	out, err := ssm.NewFromConfig(c.config).GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
	if codeOf(err) == "ParameterNotFound" {
		return "", errAbsent
	} else if err != nil {
		return "", plain(err)
	}
	return aws.ToString(out.Parameter.Value), nil
}

// apiAccount is what all APIs of API Gateway share in an account and Region.
type apiAccount struct {
	rate    float64 // requests a second
	logRole string  // ARN; empty for none
}

func (c *cloud) apiAccount(ctx context.Context) (apiAccount, error) {
	out, err := apigateway.NewFromConfig(c.config).GetAccount(ctx, nil)
	if err != nil {
		return apiAccount{}, plain(err)
	}
	if out.ThrottleSettings == nil {
		return apiAccount{}, errors.New("it is not told")
	}
	return apiAccount{out.ThrottleSettings.RateLimit, aws.ToString(out.CloudwatchRoleArn)}, nil
}

// quota is what applies to the account: the default, where nobody has asked for another.
func (c *cloud) quota(ctx context.Context, service, code string) (float64, error) {
	client := servicequotas.NewFromConfig(c.config)
	out, err := client.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err == nil {
		return aws.ToFloat64(out.Quota.Value), nil
	}
	if codeOf(err) != "NoSuchResourceException" {
		return 0, plain(err)
	}
	usual, err := client.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err != nil {
		return 0, plain(err)
	}
	return aws.ToFloat64(usual.Quota.Value), nil
}

// concurrency is how many environments Lambda runs at a time that no function has reserved.
func (c *cloud) concurrency(ctx context.Context) (int, error) {
	out, err := lambda.NewFromConfig(c.config).GetAccountSettings(ctx, nil)
	if err != nil {
		return 0, plain(err)
	}
	if out.AccountLimit == nil {
		return 0, errors.New("it is not told")
	}
	return int(aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions)), nil
}

// functionError is a run of a function that ended in an error of its own.
type functionError struct{ error }

// invoke runs a function and waits for its end.
func (c *cloud) invoke(ctx context.Context, function string) error {
	out, err := lambda.NewFromConfig(c.config).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: []byte("{}")})
	if err != nil {
		return plain(err)
	}
	if out.FunctionError != nil {
		return functionError{errors.New(messageOf(out.Payload))}
	}
	return nil
}

// stack is one of CloudFormation's; its status is empty if it is not there.
type stack struct {
	status  string
	outputs map[string]string
}

func (c *cloud) stack(ctx context.Context, name string) (stack, error) {
	out, err := cloudformation.NewFromConfig(c.config).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	switch {
	case codeOf(err) == "ValidationError" && strings.Contains(err.Error(), "does not exist"):
		return stack{}, nil
	case err != nil:
		return stack{}, fmt.Errorf("%s: %w", name, plain(err))
	case len(out.Stacks) == 0 || out.Stacks[0].StackStatus == "REVIEW_IN_PROGRESS": // a stack of which only a change was shown
		return stack{}, nil
	}
	s := stack{status: string(out.Stacks[0].StackStatus), outputs: map[string]string{}}
	for _, o := range out.Stacks[0].Outputs {
		s.outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return s, nil
}

// resources are those of a stack; none if the stack is not there.
func (c *cloud) resources(ctx context.Context, stack string) ([]resource, error) {
	var all []resource
	pages := cloudformation.NewListStackResourcesPaginator(cloudformation.NewFromConfig(c.config), &cloudformation.ListStackResourcesInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if codeOf(err) == "ValidationError" && strings.Contains(err.Error(), "does not exist") {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", stack, plain(err))
		}
		for _, r := range page.StackResourceSummaries {
			if r.ResourceStatus != "DELETE_COMPLETE" {
				all = append(all, resource{logical: aws.ToString(r.LogicalResourceId), physical: aws.ToString(r.PhysicalResourceId), kind: aws.ToString(r.ResourceType)})
			}
		}
	}
	return all, nil
}

// template is that of a stack as it is deployed, in JSON.
func (c *cloud) template(ctx context.Context, stack string) ([]byte, error) {
	out, err := cloudformation.NewFromConfig(c.config).GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &stack, TemplateStage: "Processed"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stack, plain(err))
	}
	return []byte(aws.ToString(out.TemplateBody)), nil
}

// list are the objects of a bucket.
func (c *cloud) list(ctx context.Context, bucket string) ([]stored, error) {
	var all []stored
	pages := s3.NewListObjectsV2Paginator(s3.NewFromConfig(c.config), &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", bucket, plain(err))
		}
		for _, o := range page.Contents {
			all = append(all, stored{key: aws.ToString(o.Key), modified: aws.ToTime(o.LastModified)})
		}
	}
	return all, nil
}

// versions are some of what is in a bucket, old versions and marks of deletion among them: none, if it is empty.
func (c *cloud) versions(ctx context.Context, bucket string) ([]stored, error) {
	out, err := s3.NewFromConfig(c.config).ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &bucket})
	if codeOf(err) == "NoSuchBucket" {
		return nil, nil
	} else if err != nil {
		return nil, plain(err)
	}
	var all []stored
	for _, o := range out.Versions {
		all = append(all, stored{key: aws.ToString(o.Key), version: aws.ToString(o.VersionId)})
	}
	for _, o := range out.DeleteMarkers {
		all = append(all, stored{key: aws.ToString(o.Key), version: aws.ToString(o.VersionId)})
	}
	return all, nil
}

func (c *cloud) put(ctx context.Context, bucket string, o object) error {
	_, err := s3.NewFromConfig(c.config).PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &o.key, Body: bytes.NewReader(o.body), ContentType: &o.contentType,
	})
	return plain(err)
}

// remove deletes objects, or their versions where those are named.
func (c *cloud) remove(ctx context.Context, bucket string, objects []stored) error {
	const most = 1000 // of one call: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
	client := s3.NewFromConfig(c.config)
	for len(objects) > 0 {
		n := min(len(objects), most)
		in := &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &s3types.Delete{Quiet: aws.Bool(true)}}
		for _, o := range objects[:n] {
			id := s3types.ObjectIdentifier{Key: aws.String(o.key)}
			if o.version != "" {
				id.VersionId = aws.String(o.version)
			}
			in.Delete.Objects = append(in.Delete.Objects, id)
		}
		out, err := client.DeleteObjects(ctx, in)
		if err != nil {
			return plain(err)
		}
		if len(out.Errors) > 0 {
			e := out.Errors[0]
			return fmt.Errorf("%d objects were not deleted, %s: %s", len(out.Errors), aws.ToString(e.Key), aws.ToString(e.Message))
		}
		objects = objects[n:]
	}
	return nil
}

func (r row) key() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"entity_id": &types.AttributeValueMemberS{Value: r.id}, "entity_type": &types.AttributeValueMemberS{Value: "student"},
	}
}

// writeRow puts a row into the metrics table.
func (c *cloud) writeRow(ctx context.Context, table string, r row) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	item := r.key()
	item["health_score"] = &types.AttributeValueMemberN{Value: strconv.FormatFloat(r.score, 'f', -1, 64)}
	if r.tenant != "" {
		item["tenant"] = &types.AttributeValueMemberS{Value: r.tenant}
	}
	_, err := dynamodb.NewFromConfig(c.config).PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: item})
	return plain(err)
}

func (c *cloud) removeRow(ctx context.Context, table string, r row) error {
	_, err := dynamodb.NewFromConfig(c.config).DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: r.key()})
	return plain(err)
}

// codeOf is AWS's name for an error, or "".
func codeOf(err error) string {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode()
	}
	return ""
}

// plain is an error in the words of whoever made it. What is around it may have an address in it, and in the address a
// ticket.
func plain(err error) error {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s: %s", refused.ErrorCode(), refused.ErrorMessage())
	}
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// messageOf is what a function says of its error.
func messageOf(payload []byte) string {
	var failure struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &failure) != nil || failure.Message == "" {
		return "it failed, and does not say why"
	}
	return failure.Message
}

// innermost is what an error comes from.
func innermost(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
