package awsfault_test

import (
	"errors"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

func answer(status int, code string) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code},
	}}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	codes := awsfault.Codes{Denied: []string{"Mine"}, Passes: []string{"Soon"}}
	for name, tc := range map[string]struct {
		err  error
		kind error // nil: none
	}{
		"no answer":                 {errors.New("connection reset"), nil},
		"of all services":           {answer(403, "AccessDenied"), redrive.ErrDenied},
		"its own":                   {answer(400, "Mine"), redrive.ErrDenied},
		"its own, by the server":    {answer(502, "Mine"), redrive.ErrDenied},
		"with the service in front": {answer(400, "AWS.Some.Mine"), redrive.ErrDenied},
		"passes":                    {answer(400, "Soon"), nil},
		"throttled":                 {answer(429, "TooManyRequestsException"), nil},
		"unknown":                   {answer(400, "New"), redrive.ErrRefused},
		"unknown, the client's":     {&smithy.GenericAPIError{Code: "New", Fault: smithy.FaultClient}, redrive.ErrRefused},
		"unknown, the server's":     {answer(500, "New"), nil},
		"unknown, nobody's":         {&smithy.GenericAPIError{Code: "New"}, nil},
		"no code":                   {answer(503, ""), nil},
	} {
		err := codes.Classify("do it", tc.err)
		for _, kind := range []error{redrive.ErrDenied, redrive.ErrRefused} {
			if errors.Is(err, kind) != (kind == tc.kind) {
				t.Errorf("%s: %v; is %v: %t", name, err, kind, errors.Is(err, kind))
			}
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
