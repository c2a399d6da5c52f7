package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/local/iam"
)

// Who is judged signs with a key of its own, and reaches no server but by who judges; nothing else of its environment is
// another.
func TestGuardedDeployablesHaveTheirOwnKeyAndOneWay(t *testing.T) {
	s := testStack(t)
	f := s.opts.Topology.Functions[0]
	sorted := func(env []string) []string {
		slices.Sort(env)
		return env
	}
	free := sorted(s.deployableEnv(f.Environment))
	if got := sorted(s.as(f.Name, s.deployableEnv(f.Environment))); !slices.Equal(got, free) {
		t.Errorf("nobody judges, and the environment is %v, want %v", got, free)
	}

	const proxy = "http://127.0.0.1:7"
	s.authority, s.proxyURL = iam.New(s.opts.Topology), proxy
	guarded := sorted(s.as(f.Name, s.deployableEnv(f.Environment)))
	var changed []string
	for i, pair := range guarded {
		if pair != free[i] {
			changed = append(changed, pair)
		}
	}
	want := []string{
		"AWS_ACCESS_KEY_ID=" + f.Name, "AWS_ENDPOINT_URL_DYNAMODB=" + proxy, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS=" + proxy,
		"AWS_ENDPOINT_URL_SNS=" + proxy, "AWS_ENDPOINT_URL_SQS=" + proxy,
	}
	if !slices.Equal(changed, want) || len(guarded) != len(free) {
		t.Errorf("changed are %v, want %v", changed, want)
	}
	for _, pair := range guarded {
		if strings.Contains(pair, dynamoURL) || strings.Contains(pair, otherURL) && strings.HasPrefix(pair, "AWS_") {
			t.Errorf("there is another way: %s", pair)
		}
	}
}
