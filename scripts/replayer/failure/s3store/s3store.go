// Package s3store is Amazon S3 as the store of documents.
package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/failure"
)

type store struct{ client *s3.Client }

// New returns S3 as it is reached by client, whose own retries stay in force. It needs s3:GetObject, and s3:ListBucket:
// without the latter S3 says that access is denied where an object is gone.
func New(client *s3.Client) failure.Store { return store{client} }

// codes are those of GetObject: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var codes = awsfault.Codes{Denied: []string{
	"AllAccessDisabled", "AccountProblem", "AuthorizationHeaderMalformed", "InvalidObjectState", "InvalidToken", "NoSuchBucket", "PermanentRedirect",
}}

// tries is how often an object is read whose content breaks off: the SDK sees the head of an answer only.
const tries = 3

func (s store) Get(ctx context.Context, o failure.Object) (content []byte, err error) {
	for range tries {
		var again bool
		if content, again, err = s.get(ctx, o); !again || ctx.Err() != nil {
			break
		}
	}
	return content, err
}

func (s store) get(ctx context.Context, o failure.Object) (content []byte, again bool, err error) {
	const op = "read a document"
	output, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key})
	switch {
	case err != nil && awsfault.Code(err) == "NoSuchKey":
		return nil, false, fmt.Errorf("%s: %w: %w", op, failure.ErrMissing, err)
	case err != nil:
		return nil, false, codes.Classify(op, err)
	}
	content, err = io.ReadAll(io.LimitReader(output.Body, failure.MaxDocument+1))
	if err = errors.Join(err, output.Body.Close()); err != nil {
		return nil, true, fmt.Errorf("%s: %w", op, err)
	}
	if len(content) > failure.MaxDocument {
		return nil, false, failure.ErrTooLarge
	}
	return content, false, nil
}
