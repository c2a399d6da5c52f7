package local

import (
	"context"
	"net/http"
	"strings"

	"github.com/iops-dashboard/live/infra/local/iam"
)

// startAuthority has the functions and workers do nothing but what the topology grants them, as IAM will have it. Servers
// of the user's have a say of their own, and may know no keys but the user's: then everything is left to them.
//
// The detour of each call takes time: on a busy machine of two cores a write was 31 ms on its way to a client with it, and
// 24 ms without (medians of 600 writes to each of two systems, in turn).
func (s *Stack) startAuthority() error {
	if !s.opts.Guarded || s.opts.Endpoints.DynamoDB != "" || s.opts.Endpoints.SQS != "" {
		return nil
	}
	authority := iam.New(s.opts.Topology)
	proxy, err := authority.Proxy(map[string]string{
		"dynamodb": s.endpoints.DynamoDB, "sns": s.endpoints.SNS, "sqs": s.endpoints.SQS,
	}, s.log)
	if err != nil {
		return err
	}
	s.onClose(func(context.Context) { proxy.Close() })
	l, err := listen("authority", 0)
	if err != nil {
		return err
	}
	s.listenAndServe(l, proxy)
	s.authority, s.proxyURL = authority, "http://127.0.0.1:"+port(l)
	return nil
}

// Authority judges what the functions and workers do. Nil if nobody does.
func (s *Stack) Authority() *iam.Authority { return s.authority }

// as gives an environment the key of a deployable, and leads its calls to who judges them.
func (s *Stack) as(deployable string, env []string) []string {
	if s.authority == nil {
		return env
	}
	own := map[string]string{"AWS_ACCESS_KEY_ID": deployable}
	for _, service := range []string{"DYNAMODB", "DYNAMODB_STREAMS", "SNS", "SQS"} {
		own["AWS_ENDPOINT_URL_"+service] = s.proxyURL
	}
	for i, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if value, ok := own[name]; ok {
			env[i] = name + "=" + value
		}
	}
	return env
}

// guard has the management API do for deployables what they are granted.
func (s *Stack) guard(next http.Handler) http.Handler {
	if s.authority == nil {
		return next
	}
	return s.authority.Guard(next)
}
