package awsfault_test

import (
	"errors"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	codes := awsfault.Codes{"Own": fault.TooLarge, "AccessDenied": fault.Gone}
	answer := func(status int, code string) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
			Err:      &smithy.GenericAPIError{Code: code},
		}}
	}
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"no answer":                   {errors.New("connection reset"), fault.Transient},
		"own code":                    {answer(400, "Own"), fault.TooLarge},
		"own code with a prefix":      {answer(400, "AWS.Some.Own"), fault.TooLarge},
		"own code comes first":        {answer(400, "AccessDenied"), fault.Gone},
		"common code":                 {answer(400, "ExpiredTokenException"), fault.Denied},
		"known code with status 503":  {answer(503, "Throttling"), fault.Throttled},
		"unknown code":                {answer(400, "New"), fault.Internal},
		"unknown code, status 503":    {answer(503, "UnknownError"), fault.Transient},
		"unknown code, server's":      {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}, fault.Transient},
		"unknown code, nobody's":      {&smithy.GenericAPIError{Code: "New"}, fault.Internal},
		"no code":                     {&smithy.GenericAPIError{}, fault.Internal},
		"a code that ends with a dot": {&smithy.GenericAPIError{Code: "New."}, fault.Internal},
	} {
		if err := codes.Classify("op", tc.err); fault.KindOf(err) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want kind %v", name, err, tc.want)
		}
	}
	if err := codes.Classify("op", nil); err != nil {
		t.Errorf("nil becomes %v", err)
	}
}
