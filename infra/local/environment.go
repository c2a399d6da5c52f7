package local

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/iops-dashboard/live/infra/topology"
)

// inherited is what a child may see of our environment: where programs, homes and certificates
// are. The user's AWS variables are left out, because a profile or an endpoint of theirs must not
// turn a local service towards a real account.
var inherited = []string{"PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}

func hostEnv() []string {
	var env []string
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

// EnvFile is where the environment is written when the system is ready.
func (s *Stack) EnvFile() string { return filepath.Join(s.dir, "env") }

func (s *Stack) writeEnv() error { return s.WriteEnv(s.EnvFile()) }

// WriteEnv writes the environment to a file, whole or not at all: sorted NAME=value lines that a
// shell can source.
func (s *Stack) WriteEnv(path string) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, []byte(strings.Join(pairs(s.env), "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

func pairs(env map[string]string) []string {
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	sort.Strings(lines)
	return lines
}
