package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/iops-dashboard/live/infra/topology"
)

// inherited is what a child may see of our environment: where programs, homes and certificates
// are. The user's AWS variables are left out, because a profile or an endpoint of theirs must not
// turn a local service towards a real account; so are their AWS files, which the SDK looks for
// below HOME.
var inherited = []string{"PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}

func hostEnv() []string {
	env := []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// variables is the content of the env file, but for what is known only later.
func (s *Stack) variables(ctx context.Context, webSocketURL string) (map[string]string, error) {
	v, err := s.endpoints.variables(ctx)
	if err != nil {
		return nil, err
	}
	v["WEBSOCKET_URL"] = webSocketURL
	v["VITE_WEBSOCKET_URL"] = webSocketURL
	v["WEBSOCKET_API_ENDPOINT"] = s.resources.Callback
	v["LOG_DIR"] = filepath.Join(s.dir, "log")
	for _, t := range s.opts.Topology.Tables {
		v[t.Variable] = t.Name
	}
	for _, t := range s.opts.Topology.Topics {
		v[t.Variable] = s.resources.Topics[t.Name]
	}
	for _, q := range s.opts.Topology.Queues {
		v[q.Variable] = s.resources.Queues[q.Name]
	}
	return v, nil
}

// deployableEnv is the complete environment of a function or worker: what the topology says, and
// how to reach the servers.
func (s *Stack) deployableEnv(refs map[string]topology.Ref) []string {
	env := hostEnv()
	for name, value := range s.env {
		if strings.HasPrefix(name, "AWS_") {
			env = append(env, name+"="+value)
		}
	}
	for name, ref := range refs {
		env = append(env, name+"="+s.resources.Resolve(ref))
	}
	return env
}

// simulatorEnv is what any AWS client of the user's would have, and nothing else of theirs.
func (s *Stack) simulatorEnv() []string { return append(hostEnv(), pairs(s.env)...) }

// EnvFile is where the environment is written when the system is ready.
func (s *Stack) EnvFile() string { return filepath.Join(s.dir, "env") }

// WriteEnv writes the environment to a file, whole or not at all: sorted NAME=value lines that a
// shell can source.
func (s *Stack) WriteEnv(path string) error {
	draft := path + ".new"
	err := os.WriteFile(draft, []byte(strings.Join(pairs(s.env), "\n")+"\n"), 0o600)
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		_ = os.Remove(draft)
		return fmt.Errorf("cannot tell where everything is: %w", err)
	}
	return nil
}

func pairs(env map[string]string) []string {
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	sort.Strings(lines)
	return lines
}
