package local_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// up is a running scripts/up.
type up struct {
	cmd    *exec.Cmd
	dir    string
	output *bytes.Buffer
	ended  chan struct{}
	err    error
}

func startUp(t *testing.T, args ...string) *up {
	t.Helper()
	u := &up{dir: t.TempDir(), output: &bytes.Buffer{}, ended: make(chan struct{})}
	script, err := filepath.Abs(filepath.Join(root, "scripts", "up"))
	if err != nil {
		t.Fatal(err)
	}
	u.cmd = exec.Command(script, append([]string{"--headless", "--dir", u.dir}, args...)...)
	u.cmd.Dir = t.TempDir() // it works from anywhere
	u.cmd.Stdout, u.cmd.Stderr = u.output, u.output
	// The children hold no pipe of ours, but if one were left over, do not wait for it.
	u.cmd.WaitDelay = 5 * time.Second
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(u.ended)
		u.err = u.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = u.cmd.Process.Signal(syscall.SIGTERM)
		<-u.ended
	})
	return u
}

// ready waits for the ready file and returns what it says.
func (u *up) ready(t *testing.T, file string) map[string]string {
	t.Helper()
	env := map[string]string{}
	// The first run of a clone installs hundreds of packages.
	deadline := time.After(8 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(file); err == nil {
			lines := bufio.NewScanner(bytes.NewReader(b))
			for lines.Scan() {
				name, value, _ := strings.Cut(lines.Text(), "=")
				env[name] = value
			}
			return env
		}
		select {
		case <-u.ended:
			t.Fatalf("it ended before it was ready: %v\n%s", u.err, u.output)
		case <-deadline:
			t.Fatal("it is not ready")
		case <-tick.C:
		}
	}
}

func (u *up) wait(t *testing.T) {
	t.Helper()
	select {
	case <-u.ended:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// descendants lists the processes below u, as PID and program.
func (u *up) descendants(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	children := map[string][]string{}
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // no process, or gone by now
		}
		// "PID (program) state PPID …", and a program may be called anything.
		name := string(stat[:bytes.LastIndexByte(stat, ')')+1])
		fields := strings.Fields(string(stat[len(name):]))
		children[fields[1]] = append(children[fields[1]], name)
	}
	var all []string
	next := []string{strconv.Itoa(u.cmd.Process.Pid)}
	for len(next) > 0 {
		below := children[next[0]]
		next = next[1:]
		for _, name := range below {
			all = append(all, name)
			pid, _, _ := strings.Cut(name, " ")
			next = append(next, pid)
		}
	}
	return all
}

// alive is the part of processes that still runs.
func alive(processes []string) []string {
	var all []string
	for _, name := range processes {
		pid, _, _ := strings.Cut(name, " ")
		if stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat")); err == nil && strings.HasPrefix(string(stat), name) {
			all = append(all, name)
		}
	}
	return all
}

func TestScriptUp(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready")
	u := startUp(t, "--no-simulate", "--ready-file", file)
	env := u.ready(t, file)
	for _, name := range []string{
		"DASHBOARD_URL", "WEBSOCKET_URL", "WEBSOCKET_API_ENDPOINT", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
		"AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"METRICS_TABLE", "INSIGHTS_TABLE", "STATE_TABLE", "CONNECTIONS_TABLE", "TOPIC_ARN", "FANOUT_QUEUE_URL", "FANOUT_DLQ_URL",
		"FANOUT_SUBSCRIPTION_DLQ_URL", "QUARANTINE_QUEUE_URL",
	} {
		if env[name] == "" {
			t.Errorf("%s is not in the ready file", name)
		}
	}
	c := newClients(env)
	ws := c.connect(t)
	c.update(t, "student", "stu_script", row{"health_score": 77})
	ws.waitFor(t, "stu_script")

	running := u.descendants(t)
	if len(running) < 4 {
		t.Errorf("only %v run: does this test look in the right place?", running)
	}
	// An interrupt ends all of it, whatever was killed before.
	for _, name := range running {
		var pid int
		if _, err := fmt.Sscanf(name, "%d (fanout)", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if _, err := fmt.Sscanf(name, "%d (normalizer)", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if err := u.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	u.wait(t)
	if u.err != nil {
		t.Errorf("it ended with %v\n%s", u.err, u.output)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the ready file outlives the system")
	}
	if left := alive(running); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestScriptUpSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"unknown option":             {args: []string{"--headles"}, want: "--help"},
		"stray argument":             {args: []string{"now"}, want: `"now"`},
		"Go is missing":              {env: []string{"PATH=" + only(t, "bash", "dirname", "sed")}, want: "install Go 1.26"},
		"a server that is not there": {args: []string{"--dir", t.TempDir()}, env: []string{"AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:9"}, want: "DynamoDB does not answer at http://127.0.0.1:9"},
		"half of the servers":        {env: []string{"AWS_ENDPOINT_URL_SNS=http://127.0.0.1:9"}, want: "AWS_ENDPOINT_URL_SQS go together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(filepath.Join(root, "scripts", "up"), tc.args...)
			cmd.Env = append(os.Environ(), tc.env...)
			out, err := cmd.CombinedOutput()
			text := strings.TrimSpace(string(out))
			if err == nil || !strings.Contains(text, tc.want) || strings.Contains(text, "\n") {
				t.Errorf("it says %q and ends with %v; want one line with %q and a failure", text, err, tc.want)
			}
		})
	}
}

// only makes a PATH on which there are no other programs than these.
func only(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScriptUpHelps(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(filepath.Join(root, "scripts", "up"), "--help")
	cmd.Env = append(os.Environ(), "GOOS=plan9", "GOARCH=arm") // of somebody who builds for elsewhere
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--no-simulate") {
		t.Errorf("--help says %s, %v", out, err)
	}
}

func TestScriptTestHelps(t *testing.T) {
	t.Parallel()
	script := filepath.Join(root, "scripts", "test")
	out, err := exec.Command(script, "--help").CombinedOutput()
	for _, step := range []string{"install", "generated", "format", "vet", "lint", "go", "page", "browser"} {
		if err != nil || !strings.Contains(string(out), "\n  "+step+" ") {
			t.Errorf("--help does not list %s: %s, %v", step, out, err)
		}
	}
	for _, step := range []string{"nope", ""} {
		out, err = exec.Command(script, step).CombinedOutput()
		if text := strings.TrimSpace(string(out)); err == nil || !strings.Contains(text, "'"+step+"'") || strings.Contains(text, "\n") {
			t.Errorf("with step %q it says %q and ends with %v; want one line and a failure", step, text, err)
		}
	}
}

// When scripts/up itself is killed, its children go with it.
func TestScriptUpKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready")
	u := startUp(t, "--ready-file", file)
	u.ready(t, file)
	running := u.descendants(t)
	if err := u.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	u.wait(t)
	eventually(t, "its children to end", func() bool { return len(alive(running)) == 0 })
}
