package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

// TestMain makes this binary, under other names, the program itself and those that it runs.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "deployer":
		main()
	case "npx":
		os.Exit(fakeCDK())
	case "node":
		if len(os.Args) > 1 && os.Args[1] == "--version" {
			fmt.Println("v24.0.0")
		}
	case "npm":
		if err := os.MkdirAll("node_modules", 0o755); err != nil {
			panic(err)
		}
	default:
		os.Exit(m.Run())
	}
}

// fakeCDK asks the test what to do, and does it.
func fakeCDK() int {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, os.Interrupt)
	go func() {
		<-heard
		fmt.Println("the CDK heard of it")
		os.Exit(exitInterrupted)
	}()
	call, err := json.Marshal(cdkCall{Args: os.Args[1:], Region: os.Getenv("AWS_REGION"), Dir: filepath.Base(must(os.Getwd()))})
	if err != nil {
		panic(err)
	}
	response, err := http.Post(os.Getenv("FAKE_CDK"), "application/json", bytes.NewReader(call))
	if err != nil {
		panic(err)
	}
	var reply cdkReply
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		panic(err)
	}
	fmt.Print(reply.Says)
	return reply.Exit
}

type cdkCall struct {
	Args        []string
	Region, Dir string
}

// command is the part of a call that says what it does.
func (c cdkCall) command() string {
	if len(c.Args) < 3 || c.Args[0] != "--no-install" || c.Args[1] != "cdk" {
		return strings.Join(c.Args, " ")
	}
	command := c.Args[2]
	if len(c.Args) > 3 && !strings.HasPrefix(c.Args[3], "--") {
		command += " " + c.Args[3]
	}
	return command
}

func (c cdkCall) has(args ...string) bool {
	return strings.Contains(" "+strings.Join(c.Args, " ")+" ", " "+strings.Join(args, " ")+" ")
}

// cdkReply is what the CDK says and ends with. If it is idle it does nothing else.
type cdkReply struct {
	Says string
	Exit int
	Idle bool
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rig is a checkout with a built page, and an account to deploy it to.
type rig struct {
	root  string
	aws   *fakeAWS
	env   map[string]string
	input string
}

const page = `<!doctype html><script type="module" src="/assets/index-abc.js"></script>`

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{root: t.TempDir(), aws: newFakeAWS(t), input: "yes\n"}
	for name, text := range map[string]string{
		"infra/cdk/cdk.json":                       `{"app": "go run .", "context": {"@aws-cdk/core:x": true}}`,
		"infra/local/package-lock.json":            "{}",
		"frontend/package-lock.json":               "{}",
		"frontend/dist/index.html":                 page,
		"frontend/dist/favicon.svg":                "<svg/>",
		"frontend/dist/robots.txt":                 "",
		"frontend/dist/assets/index-abc.js":        "1",
		"frontend/dist/assets/index-abc.js.map":    "{}",
		"frontend/dist/assets/timer-worker-def.js": "2",
		"bin/.keep": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(r.root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self := must(os.Executable())
	for _, name := range []string{"deployer", "npx", "npm", "node"} {
		if err := os.Symlink(self, filepath.Join(r.root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	r.env = map[string]string{
		"PATH": filepath.Join(r.root, "bin"), "HOME": r.root, "IOPS_ROOT": r.root, "FAKE_CDK": r.aws.URL + "/cdk",
		"AWS_ENDPOINT_URL": r.aws.URL, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secretaccesskey",
		"AWS_EC2_METADATA_DISABLED": "true",
		"GORACE":                    "atexit_sleep_ms=0", // with the race detector each program would sleep before it ends
	}
	return r
}

// outcome is what a run came to.
type outcome struct {
	out, err string // standard output and standard error
	code     int
}

func (o outcome) String() string { return fmt.Sprintf("exit code %d\n%s\n%s", o.code, o.out, o.err) }

// start starts the program as scripts/deploy does.
func (r *rig) start(t *testing.T, args ...string) (wait func() outcome, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(filepath.Join(r.root, "bin", "deployer"), args...)
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(r.input), &out, &err
	cmd.WaitDelay = 10 * time.Second
	if failed := cmd.Start(); failed != nil {
		t.Fatal(failed)
	}
	return func() outcome {
		t.Helper()
		var exit *exec.ExitError
		if failed := cmd.Wait(); failed != nil && !errors.As(failed, &exit) {
			t.Fatal(failed)
		}
		o := outcome{out.String(), err.String(), cmd.ProcessState.ExitCode()}
		if strings.Contains(o.String(), "secretaccesskey") {
			t.Errorf("it prints a secret:\n%s", o)
		}
		return o
	}, cmd
}

func (r *rig) run(t *testing.T, args ...string) outcome {
	t.Helper()
	wait, _ := r.start(t, args...)
	return wait()
}

func (o outcome) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("it ends with %d, want %d", o.code, code)
	}
	all := o.out + o.err
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if t.Failed() {
		t.Log(o)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args  []string
		spoil func(r *rig)
		code  int
		want  []string
	}{
		"no credentials": {
			spoil: func(r *rig) { delete(r.env, "AWS_ACCESS_KEY_ID"); delete(r.env, "AWS_SECRET_ACCESS_KEY") },
			code:  exitFailed, want: []string{"no AWS credentials", "AWS_PROFILE"},
		},
		"credentials that expired": {
			spoil: func(r *rig) { r.aws.refuse("sts", http.StatusForbidden, "ExpiredToken") },
			code:  exitFailed, want: []string{"ExpiredToken", "sign in again"},
		},
		"no Region": {
			spoil: func(r *rig) { delete(r.env, "AWS_REGION") },
			code:  exitFailed, want: []string{"no Region", "AWS_REGION"},
		},
		"AWS is out of reach": {
			spoil: func(r *rig) { r.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"; r.env["AWS_MAX_ATTEMPTS"] = "1" },
			code:  exitFailed, want: []string{"AWS does not answer"},
		},
		"not bootstrapped": {
			spoil: func(r *rig) { r.aws.bootstrap = "" },
			code:  exitFailed, want: []string{"cdk bootstrap aws://" + account + "/" + region, "1 to mend", "scripts/deploy check diff deploy site smoke urls"},
		},
		"an old bootstrap": {
			spoil: func(r *rig) { r.aws.bootstrap = "5" },
			code:  exitFailed, want: []string{"of version 5, and 6 is wanted", "cdk bootstrap aws://"},
		},
		"no role to keep": {
			args: []string{"-c", "apiLogRole=keep"}, code: exitFailed, want: []string{"apiLogRole=keep keeps nothing"},
		},
		"no Docker": {
			args: []string{"-c", "fanout=fargate"}, code: exitFailed, want: []string{"docker is not on PATH", "fanout=lambda"},
		},
		"an unknown step":      {args: []string{"chek"}, code: exitMisused, want: []string{`no step is called "chek"`, "--help"}},
		"an unknown option":    {args: []string{"check", "--force"}, code: exitMisused, want: []string{"-force", "--help"}},
		"an unknown setting":   {args: []string{"check", "-c", "shard=8"}, code: exitMisused, want: []string{`no setting is called "shard"`, "--help"}},
		"a setting of no form": {args: []string{"-c", "shards"}, code: exitMisused, want: []string{"name=value"}},
		"settings of no sense": {
			args: []string{"-c", "shards=many", "-c", "auth=none", "-c", "fanout=cloud"}, code: exitMisused,
			want: []string{`shards is "many"`, `auth is "none": want ticket or open`, `fanout is "cloud": want lambda or fargate`},
		},
		"a stage of no form":      {args: []string{"-c", "stage=../prod"}, code: exitMisused, want: []string{`stage is "../prod"`}},
		"a step and destroy":      {args: []string{"site", "--destroy"}, code: exitMisused, want: []string{"--destroy goes with no step"}},
		"nothing is deployed yet": {args: []string{"urls"}, code: exitFailed, want: []string{"stage prod", "WebSocketURL", account, region}},
		"a context file of no JSON": {
			spoil: func(r *rig) { r.write("infra/cdk/cdk.context.json", "{") },
			code:  exitFailed, want: []string{"cdk.context.json is not JSON"},
		},
		"no npx": {
			args: []string{"diff"}, spoil: func(r *rig) { _ = os.Remove(filepath.Join(r.root, "bin", "npx")) },
			code: exitFailed, want: []string{"npx is not on PATH"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tc.spoil != nil {
				tc.spoil(r)
			}
			r.run(t, tc.args...).expect(t, tc.code, tc.want...)
			if calls := r.aws.commands(); len(calls) > 0 {
				t.Errorf("it went on to %v", calls)
			}
			if puts := r.aws.uploads(); len(puts) > 0 {
				t.Errorf("it uploaded %v", puts)
			}
		})
	}
}

func (r *rig) write(name, text string) {
	if err := os.WriteFile(filepath.Join(r.root, name), []byte(text), 0o644); err != nil {
		panic(err)
	}
}

// What is low or odd is said with the way to mend it, and hinders nobody; he who is asked is told again.
func TestSaysWhatToRaise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args  []string
		spoil func(a *fakeAWS)
		want  string
	}{
		"the throttle of API Gateway":  {spoil: func(a *fakeAWS) { a.rate = 2500 }, want: "--service-code apigateway --quota-code L-8A5B8E43 --desired-value 10000"},
		"new connections":              {spoil: func(a *fakeAWS) { a.quotas["L-9ED1E49A"] = 100 }, want: "--service-code apigateway --quota-code L-9ED1E49A --desired-value 500"},
		"environments":                 {spoil: func(a *fakeAWS) { a.concurrency = 10 }, want: "--service-code lambda --quota-code L-B99A9384 --desired-value 1000"},
		"the role of somebody":         {spoil: func(a *fakeAWS) { a.logRole = "arn:aws:iam::123456789012:role/theirs" }, want: "apiLogRole=keep leaves it"},
		"nobody posts for a while":     {args: []string{"-c", "fanout=fargate", "-c", "tasks=1"}, spoil: func(*fakeAWS) {}, want: "nobody posts while the one task"},
		"everybody is let in":          {args: []string{"-c", "auth=open"}, spoil: func(*fakeAWS) {}, want: "everybody who knows the address sees everything"},
		"what we may not ask":          {spoil: func(a *fakeAWS) { a.refuse("servicequotas", http.StatusBadRequest, "AccessDeniedException") }, want: "cannot tell: new WebSocket connections a second: AccessDeniedException"},
		"a quota that was never asked": {spoil: func(a *fakeAWS) { delete(a.quotas, "L-9ED1E49A") }, want: "ok     WebSocket: 500 new connections a second"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tc.spoil(r.aws)
			r.env["CDK_DOCKER"] = "npx" // which is on PATH
			r.input = "no\n"
			o := r.run(t, append([]string{"check", "deploy"}, tc.args...)...)
			o.expect(t, exitRefused, tc.want)
			if again := strings.Count(o.out, tc.want); again != 2 && !strings.HasPrefix(tc.want, "ok") {
				t.Errorf("it says it %d times, want it again before the question\n%s", again, o)
			}
		})
	}
}

// A role that is there because the stack made it is no surprise.
func TestKnowsItsOwnLogRole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.deployAll("prod")
	r.aws.logRole = "arn:aws:iam::" + account + ":role/ours"
	o := r.run(t, "check")
	o.expect(t, 0)
	if strings.Contains(o.out, "apiLogRole") {
		t.Errorf("it takes its own role for another's\n%s", o)
	}
}

func TestNothingIsDeployedWithoutAYes(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{"no": "no\n", "another word": "y\n", "nobody": "", "an empty line": "\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.input = input
			r.run(t).expect(t, exitRefused, "not agreed: nothing was changed")
			if calls := r.aws.commands(); !slices.Equal(calls, []string{"synth", "diff"}) {
				t.Errorf("it did %v", calls)
			}
		})
	}
}

func TestDeployOneStepAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run(t, "deploy", "-c", "stage=dev").expect(t, 0, "what would change", "Type yes:")
	if calls := r.aws.commands(); !slices.Equal(calls, []string{"synth", "diff", "deploy"}) {
		t.Errorf("it did %v", calls)
	}
	if calls := r.aws.commands(); len(r.aws.uploads()) > 0 {
		t.Errorf("it did %v", calls)
	}
}

func TestEndsWithAFailedDeployment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.answer = func(ctx context.Context, c cdkCall) cdkReply {
		if c.command() == "deploy" {
			return cdkReply{Says: "CREATE_FAILED: the name is taken\n", Exit: 1}
		}
		return cdkReply{}
	}
	r.run(t, "-c", "shards=2").expect(t, exitFailed, "CREATE_FAILED: the name is taken", "deploy: deploy: cdk deploy failed",
		"go on with: scripts/deploy deploy site smoke urls -c shards=2")
	if len(r.aws.uploads()) > 0 {
		t.Error("it published a page for a system that is not there")
	}
}

func TestEndsWithAFailedUpload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.denyPut = "assets/timer-worker-def.js"
	r.run(t, "--yes").expect(t, exitFailed, "assets/timer-worker-def.js was not uploaded", "AccessDenied", "the page before it is still there",
		"go on with: scripts/deploy site smoke urls")
	if puts := r.aws.uploads(); slices.Contains(puts, "index.html") || len(puts) == 0 {
		t.Errorf("it uploaded %v: the page must be the last", puts)
	}
}

func TestCtrlC(t *testing.T) {
	t.Parallel()
	t.Run("while CloudFormation works", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		began := make(chan struct{})
		r.aws.answer = func(ctx context.Context, c cdkCall) cdkReply {
			if c.command() == "deploy" {
				close(began)
				<-ctx.Done() // when the CDK has gone
			}
			return cdkReply{}
		}
		wait, cmd := r.start(t, "--yes")
		<-began
		interrupt(t, cmd)
		wait().expect(t, exitInterrupted, "interrupted", "the CDK heard of it", "what CloudFormation has begun goes on")
		if len(r.aws.uploads()) > 0 {
			t.Error("it went on")
		}
	})
	t.Run("while it asks", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		cmd := exec.Command(filepath.Join(r.root, "bin", "deployer"), "deploy")
		for name, value := range r.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		stdin := must(cmd.StdinPipe())
		defer func() { _ = stdin.Close() }()
		stdout := must(cmd.StdoutPipe())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said []byte
		for one := make([]byte, 1); !bytes.HasSuffix(said, []byte("Type yes: ")); said = append(said, one...) {
			if _, err := io.ReadFull(stdout, one); err != nil {
				t.Fatalf("it ended without a question: %s", said)
			}
		}
		interrupt(t, cmd)
		_, _ = io.Copy(io.Discard, stdout)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("it ended with %v", cmd.ProcessState)
		}
		if calls := r.aws.commands(); slices.Contains(calls, "deploy") {
			t.Errorf("it did %v", calls)
		}
	})
}

func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// A first deployment, all of it.
func TestDeploy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	delete(r.env, "AWS_REGION")
	r.env["AWS_DEFAULT_REGION"] = region // the CDK would take another
	r.write("infra/cdk/cdk.context.json", `{"shards": 2, "stage": "dev", "not ours": 1}`)
	o := r.run(t, "-c", "stage=prod")
	o.expect(t, 0, "account "+account+", Region "+region, "ok     bootstrap: version 30", "what would change", "Type yes:",
		"nobody gets in without a ticket", "the canary connected", socketURL(r.aws), siteURL(r.aws))
	wanted := []string{"synth", "diff", "deploy", "synth", "deploy IOpsDashboard-SiteStack"}
	if calls := r.aws.commands(); !slices.Equal(calls, wanted) {
		t.Fatalf("it did %v, want %v", calls, wanted)
	}
	calls := r.aws.called()
	for _, c := range calls {
		if c.Region != region || c.Dir != "cdk" {
			t.Errorf("%v runs in %s for %s", c.Args, c.Dir, c.Region)
		}
	}
	out := filepath.Join(r.root, ".local", "deploy", "prod", "cdk.out")
	for i, args := range [][]string{
		{"synth", "--quiet", "--output", out, "-c", "shards=2", "-c", "stage=prod"},
		{"diff", "--app", out},
		{"deploy", "--all", "--app", out, "--require-approval", "never"},
		{"synth", "--quiet", "--output", out, "-c", "connect=" + originOf(socketURL(r.aws)) + "," + apiURL},
		{"deploy", "IOpsDashboard-SiteStack", "--exclusively", "--app", out, "--require-approval", "never"},
	} {
		if !calls[i].has(args...) {
			t.Errorf("call %d is %v, want %v", i, calls[i].Args, args)
		}
	}

	if puts := r.aws.uploads(); !slices.Equal(puts, []string{
		"assets/index-abc.js", "assets/index-abc.js.map", "assets/timer-worker-def.js", "config.json", "favicon.svg", "robots.txt", "index.html",
	}) {
		t.Errorf("it uploads %v", puts)
	}
	for key, want := range map[string]string{
		"assets/index-abc.js": "text/javascript; charset=utf-8", "assets/index-abc.js.map": "application/json",
		"favicon.svg": "image/svg+xml", "index.html": "text/html; charset=utf-8", "config.json": "application/json",
	} {
		if got := r.aws.object(key); got.contentType != want {
			t.Errorf("%s is served as %q, want %q", key, got.contentType, want)
		}
	}
	want := `{"webSocketUrl":"` + socketURL(r.aws) + `","apiUrl":"` + apiURL + `","signIn":{"issuer":"` + issuerURL + `","clientId":"client"}}`
	if got := string(r.aws.object("config.json").body); got != want {
		t.Errorf("config.json is %s, want %s", got, want)
	}
	if got := string(r.aws.object("index.html").body); got != page {
		t.Errorf("the page is %s", got)
	}
}

// A system that is deployed has its addresses in the templates from the beginning.
func TestDeployAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.deployAll("prod")
	r.aws.policy = "default-src 'self'; connect-src 'self' " + originOf(socketURL(r.aws)) + " " + apiURL + " https://cognito; img-src *"
	r.run(t, "--yes").expect(t, 0)
	if calls := r.aws.commands(); !slices.Equal(calls, []string{"synth", "diff", "deploy"}) {
		t.Errorf("it did %v", calls)
	}
	if c := r.aws.called()[0]; !c.has("-c", "connect="+originOf(socketURL(r.aws))+","+apiURL) {
		t.Errorf("it synthesises with %v", c.Args)
	}
}

func TestHelpNamesAllStepsAndSettings(t *testing.T) {
	t.Parallel()
	text := help()
	for _, s := range steps {
		if !strings.Contains(text, "\n  "+s.name+" ") {
			t.Errorf("the help does not name the step %s", s.name)
		}
	}
	for _, s := range setting.All {
		if !strings.Contains(text, "\n  "+s.Name+"="+s.Default+" ") || !strings.Contains(text, strings.Fields(s.Text)[0]) {
			t.Errorf("the help does not explain the setting %s", s.Name)
		}
	}
	for _, name := range []string{"-c", "--yes", "--token", "--patience", "--destroy", "--help"} {
		if !strings.Contains(text, "\n  "+name+" ") {
			t.Errorf("the help does not name %s", name)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 101 {
			t.Errorf("%d characters in a line: %s", len(line), line)
		}
	}
	r := newRig(t)
	r.env = map[string]string{"PATH": r.env["PATH"]} // whoever has nothing yet can read it
	r.run(t, "--help").expect(t, 0, "Usage: scripts/deploy")
}

func TestScriptDeploy(t *testing.T) {
	t.Parallel()
	script := must(filepath.Abs(filepath.Join("..", "..", "..", "scripts", "deploy")))
	cmd := exec.Command(script, "--help")
	cmd.Dir = t.TempDir()                                      // it works from anywhere
	cmd.Env = append(os.Environ(), "GOOS=plan9", "GOARCH=arm") // of somebody who builds for elsewhere
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != help() {
		t.Errorf("--help says %s, %v", out, err)
	}
	bin := t.TempDir()
	for _, name := range []string{"bash", "dirname", "sed"} {
		if err := os.Symlink(must(exec.LookPath(name)), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd = exec.Command(script)
	cmd.Env = []string{"PATH=" + bin}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "install Go 1.26") {
		t.Errorf("without Go it says %s, %v", out, err)
	}
}

func TestUrls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.deployAll("prod")
	o := r.run(t, "urls")
	o.expect(t, 0, "WebSocketURL          "+socketURL(r.aws), siteURL(r.aws), apiURL)
	if strings.Contains(o.out, "Exports") {
		t.Errorf("it prints what is nobody's business\n%s", o)
	}
}

// The stacks are those of the app, and put out what the steps want to know.
func TestTemplatesPutOutWhatIsNeeded(t *testing.T) {
	t.Parallel()
	outputs, buckets := map[string]any{}, 0
	for _, name := range setting.Stacks {
		text, err := os.ReadFile(filepath.Join("..", "app", "testdata", "default", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var template struct {
			Outputs   map[string]any
			Resources map[string]struct{ Type string }
		}
		if err := json.Unmarshal(text, &template); err != nil {
			t.Fatal(err)
		}
		for output, value := range template.Outputs {
			outputs[output] = value
		}
		var resources []resource
		for id, r := range template.Resources {
			resources = append(resources, resource{logical: id, kind: r.Type})
		}
		if err := mark(resources, text); err != nil {
			t.Fatal(err)
		}
		for _, r := range resources {
			if r.kind == "AWS::S3::Bucket" && !r.kept {
				buckets++
			}
		}
	}
	for _, name := range []string{"WebSocketURL", "ApiURL", "TokenIssuer", "TokenClientId", "SiteURL", "SiteBucket"} {
		if outputs[name] == nil {
			t.Errorf("no stack puts out %s", name)
		}
	}
	if buckets != 1 {
		t.Errorf("%d buckets go with the system, want that of the site, which is emptied", buckets)
	}
}
