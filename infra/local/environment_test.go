package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/local/provision"
	"github.com/iops-dashboard/live/infra/topology"
)

// usersShell is what somebody who works with AWS may have in their environment.
var usersShell = map[string]string{
	"AWS_PROFILE": "production", "AWS_ACCESS_KEY_ID": "AKIAUSER", "AWS_SECRET_ACCESS_KEY": "theirs", "AWS_SESSION_TOKEN": "theirs",
	"AWS_ENDPOINT_URL": "https://user.example.com", "AWS_ENDPOINT_URL_S3": "https://user.example.com",
	"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_ROLE_ARN": "theirs", "AWS_WEB_IDENTITY_TOKEN_FILE": "theirs",
	"AWS_CONFIG_FILE": "/home/user/config", "AWS_SHARED_CREDENTIALS_FILE": "/home/user/credentials", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
	"AWS_LAMBDA_FUNCTION_NAME": "theirs", "STATE_TABLE": "theirs", "HTTP_PROXY": "http://user.example.com",
}

func testStack(t *testing.T) *Stack {
	t.Helper()
	s := &Stack{dir: t.TempDir(), endpoints: Endpoints{Region: defaultRegion, DynamoDB: dynamoURL, Streams: dynamoURL, SNS: otherURL, SQS: otherURL}}
	s.opts.Topology = topology.Default()
	s.resources = provision.Resources{
		Topics: map[string]string{"iops-dashboard-updates": "arn:topic"}, Queues: map[string]string{"iops-dashboard-quarantine": otherURL + "/quarantine"},
		Callback: "http://127.0.0.1:1/prod",
	}
	var err error
	if s.env, err = s.variables(t.Context(), webSocketURL); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUsersVariablesNeverReachAChild(t *testing.T) {
	for name, value := range usersShell {
		t.Setenv(name, value)
	}
	s := testStack(t)
	for child, env := range map[string][]string{
		"a server": hostEnv(), "a function": s.deployableEnv(s.opts.Topology.Functions[0].Environment), "the simulator": s.simulatorEnv(),
	} {
		for _, pair := range env {
			name, value, _ := strings.Cut(pair, "=")
			if theirs, ok := usersShell[name]; ok && value == theirs {
				t.Errorf("%s gets %s", child, pair)
			}
		}
		// The SDK would look for these below HOME.
		for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
			if !slices.Contains(env, name+"="+os.DevNull) {
				t.Errorf("%s may read the user's %s", child, name)
			}
		}
	}
}

func TestDeployableHasWhatTheTopologySays(t *testing.T) {
	s := testStack(t)
	env := s.deployableEnv(s.opts.Topology.Functions[0].Environment)
	for _, want := range []string{
		"STATE_TABLE=iops-dashboard-state", "TOPIC_ARN=arn:topic", "QUARANTINE_QUEUE_URL=" + otherURL + "/quarantine",
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_SNS=" + otherURL, "AWS_ENDPOINT_URL_SQS=" + otherURL,
		"AWS_REGION=" + defaultRegion, "AWS_ACCESS_KEY_ID=" + dummyKey, "AWS_EC2_METADATA_DISABLED=true",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %v", want, env)
		}
	}
	names := map[string]bool{}
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if names[name] {
			t.Errorf("%s is there twice: which one counts?", name)
		}
		names[name] = true
	}
}

func TestEnvFileIsWholePrivateAndForAShell(t *testing.T) {
	s := testStack(t)
	path := filepath.Join(s.dir, "a folder", "env")
	if err := s.WriteEnv(path); err == nil {
		t.Error("no error for a folder that is missing")
	}
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.WriteEnv(path); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: it may hold the user's keys", info.Mode(), err)
	}
	out, err := exec.Command("/bin/sh", "-c", `set -a; . "$0"; echo "$WEBSOCKET_URL $METRICS_TABLE"`, path).CombinedOutput()
	if want := webSocketURL + " iops-dashboard-metrics\n"; err != nil || string(out) != want {
		t.Errorf("a shell reads %q, %v; want %q", out, err, want)
	}
	taken := filepath.Join(s.dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "by a folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteEnv(taken); err == nil {
		t.Error("no error where a folder is in the way")
	}
	left, _ := filepath.Glob(path + ".*")
	more, _ := filepath.Glob(taken + ".*")
	if left = append(left, more...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
