package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// publish has the page be there, for a system with these addresses.
func (a *fakeAWS) publish(outputs map[string]string) {
	for name, value := range outputs {
		a.outputs[name] = value
	}
	config, err := pageConfig(a.outputs)
	if err != nil {
		a.t.Fatal(err)
	}
	a.objects["index.html"] = object{body: []byte(page)}
	a.objects["config.json"] = config
	a.policy = "connect-src 'self' " + originOf(a.outputs["WebSocketURL"])
}

func TestSmokeLooksAtThePage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*fakeAWS)
		want  string
	}{
		"no page":         {func(a *fakeAWS) { delete(a.objects, "index.html") }, "the page is not there"},
		"no config.json":  {func(a *fakeAWS) { delete(a.objects, "config.json") }, "config.json does not tell the page of this system"},
		"another system":  {func(a *fakeAWS) { a.outputs["WebSocketURL"] = "wss://other/prod" }, "config.json does not tell the page of this system"},
		"a strict policy": {func(a *fakeAWS) { a.policy = "connect-src 'self'" }, "may not connect to ws://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.publish(nil)
			tc.spoil(r.aws)
			r.run(t, "smoke").expect(t, exitFailed, tc.want, "scripts/deploy site")
			if len(r.aws.invoked) > 0 {
				t.Error("it went on")
			}
		})
	}
}

func TestSmokeAsksTheCanary(t *testing.T) {
	t.Parallel()
	failing := func(times int) func(string) (int, string, string) {
		return func(string) (int, string, string) {
			if times--; times >= 0 {
				return http.StatusOK, "Unhandled", `{"errorMessage":"canary.frame: no frame","errorType":"Error"}`
			}
			return http.StatusOK, "", "null"
		}
	}
	for name, tc := range map[string]struct {
		args     []string
		function func(string) (int, string, string)
		code     int
		want     string
		runs     int
	}{
		"it is well":             {function: failing(0), want: "the canary connected", runs: 1},
		"it sleeps at first":     {function: failing(1), want: "not yet: canary.frame: no frame", runs: 2},
		"it is ill":              {args: []string{"--patience", "1ns"}, function: failing(9), code: exitFailed, want: "canary.frame: no frame; infra/RUNBOOK.md", runs: 1},
		"it is not there":        {function: func(string) (int, string, string) { return http.StatusNotFound, "", "no function" }, code: exitFailed, want: "ResourceNotFoundException", runs: 1},
		"it says nothing":        {args: []string{"--patience", "1ns"}, function: func(string) (int, string, string) { return http.StatusOK, "Unhandled", "" }, code: exitFailed, want: "does not say why", runs: 1},
		"it is of another stage": {args: []string{"-c", "stage=dev"}, function: failing(0), want: "asking iops-dashboard-canary-dev", runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.deployAll("dev")
			r.aws.publish(nil)
			r.aws.function = tc.function
			r.run(t, append([]string{"smoke"}, tc.args...)...).expect(t, tc.code, tc.want)
			if len(r.aws.invoked) != tc.runs {
				t.Errorf("it ran %v, want %d", r.aws.invoked, tc.runs)
			}
		})
	}
}

// quiet is a system that lets everybody in, and says nothing.
func quiet(w http.ResponseWriter, r *http.Request) {
	if socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err == nil { // the page's host is another
		_, _, _ = socket.Read(r.Context())
	}
}

// No frame comes, and the row is removed all the same: when time is up, and when nobody wants to wait for that.
func TestSmokeWithoutAFrame(t *testing.T) {
	t.Parallel()
	for name, interrupted := range map[string]bool{"in time": false, "ctrl-C": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.publish(nil)
			r.aws.openDoor = true
			written := make(chan struct{})
			r.aws.written = func() { close(written) }
			args := []string{"smoke", "-c", "auth=open"}
			if !interrupted {
				args = append(args, "--patience", "100ms")
			}
			wait, cmd := r.start(t, args...)
			<-written
			if interrupted {
				interrupt(t, cmd)
				wait().expect(t, exitInterrupted, "interrupted")
			} else {
				wait().expect(t, exitFailed, "no frame told of the row within 100ms", "infra/RUNBOOK.md")
			}
			if len(r.aws.rows) != 1 || !r.aws.rows[0].removed {
				t.Errorf("it leaves %v", r.aws.rows)
			}
		})
	}
}

func TestSmokeTellsOfARowThatItCannotRemove(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.aws.deployAll("prod")
	r.aws.publish(nil)
	r.aws.openDoor = true
	r.aws.keepRows = true
	r.run(t, "smoke", "-c", "auth=open", "--patience", "1ms").expect(t, exitFailed, "no frame", "is left in iops-dashboard-metrics", "AccessDeniedException", "remove it")
}

// Whatever a system does with a token and a ticket, they are not printed.
func TestSmokeTellsNoSecret(t *testing.T) {
	t.Parallel()
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"tenant":"acme"}`))
	token := "tokenhead." + payload + ".tokentail"
	for name, tc := range map[string]struct {
		status int    // of the API
		body   string // of the API
		visit  http.HandlerFunc
		want   string
	}{
		"no such API":    {status: 0, want: "does not answer"},
		"refused":        {status: http.StatusUnauthorized, want: "answers 401 Unauthorized: is the token one of"},
		"out of order":   {status: http.StatusInternalServerError, want: "answers 500 Internal Server Error"},
		"no ticket":      {status: http.StatusCreated, body: `"tickettext"`, want: "gives no ticket that can be read"},
		"an empty one":   {status: http.StatusCreated, body: `{}`, want: "gives no ticket that can be read"},
		"a refused one":  {status: http.StatusCreated, body: `{"ticket":"tickettext"}`, want: "refuses the connection with 401 Unauthorized"},
		"nobody answers": {status: http.StatusCreated, body: `{"ticket":"tickettext"}`, visit: hangUp, want: "does not answer: EOF"},
		"nothing comes":  {status: http.StatusCreated, body: `{"ticket":"tickettext"}`, visit: quiet, want: "no frame told of the row"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path != "/tickets" || q.Header.Get("Authorization") != "Bearer "+token || q.Header.Get("Origin") != siteURL(r.aws) {
					t.Errorf("it asks %s with %v", q.URL, q.Header)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer api.Close()
			if tc.status == 0 {
				api.Close()
			}
			r.aws.deployAll("prod")
			r.aws.publish(map[string]string{"ApiURL": api.URL})
			r.aws.visit = tc.visit
			r.env["IOPS_TOKEN"] = token
			o := r.run(t, "smoke", "--patience", "1ms")
			o.expect(t, exitFailed, tc.want)
			for _, secret := range []string{"tokenhead", payload, "tokentail", "tickettext"} {
				if strings.Contains(o.String(), secret) {
					t.Errorf("it prints %s\n%s", secret, o)
				}
			}
			if tc.want == "no frame told of the row" && (len(r.aws.rows) != 1 || r.aws.rows[0].tenant != "acme") {
				t.Errorf("it writes %v, want a row of the token's tenant", r.aws.rows)
			}
		})
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func TestSmokeTriesTheDoor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*fakeAWS)
		want  string
	}{
		"it is open":     {func(a *fakeAWS) { a.openDoor = true }, "lets in who has no ticket"},
		"nobody answers": {func(a *fakeAWS) { a.socket.Close() }, "does not answer"},
		"it is broken": {func(a *fakeAWS) {
			a.socket.Config.Handler = http.NotFoundHandler()
		}, "answers 404 Not Found to who has no ticket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.aws.deployAll("prod")
			r.aws.publish(nil)
			tc.spoil(r.aws)
			r.run(t, "smoke").expect(t, exitFailed, tc.want)
			if len(r.aws.invoked) > 0 {
				t.Error("it went on")
			}
		})
	}
}

func TestTenantOf(t *testing.T) {
	t.Parallel()
	for claims, want := range map[string]string{
		`{"tenant":"acme"}`: "acme", `{"custom:tenant":"acme"}`: "acme", `{}`: "", `{"tenant":7}`: "", `x`: "",
	} {
		token := "a." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".b"
		if got := tenantOf(token); got != want {
			t.Errorf("a token with %s is of tenant %q, want %q", claims, got, want)
		}
	}
	if got := tenantOf("no token"); got != "" {
		t.Errorf("what is no token is of tenant %q", got)
	}
}

// startLocal runs the system on this machine, and returns an account in which it is deployed.
func startLocal(t *testing.T, auth topology.Auth) (*rig, map[string]string) {
	t.Helper()
	r := newRig(t)
	stack, err := local.Start(t.Context(), local.Options{
		Root: filepath.Join("..", "..", ".."), Dir: t.TempDir(), Origins: []string{siteURL(r.aws)}, Topology: topology.New(topology.Options{Auth: auth}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stack.Close()
		logs, _ := filepath.Glob(filepath.Join(stack.LogDir(), "*.log"))
		for _, file := range logs {
			if text, err := os.ReadFile(file); err == nil && t.Failed() {
				t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-2000):])
			}
		}
	})
	env := stack.Env()
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_LAMBDA"} {
		r.env[name] = env[name]
	}
	r.aws.deployAll("prod")
	r.aws.publish(map[string]string{"WebSocketURL": env["WEBSOCKET_URL"], "ApiURL": env["API_URL"]})
	return r, env
}

// left counts the rows that smoke has left in the metrics table.
func left(t *testing.T, env map[string]string) int {
	t.Helper()
	client := dynamodb.NewFromConfig(aws.Config{
		Region: env["AWS_REGION"], Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
		BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL_DYNAMODB"]),
	})
	out, err := client.Scan(t.Context(), &dynamodb.ScanInput{
		TableName: aws.String(env["METRICS_TABLE"]), ConsistentRead: aws.Bool(true), FilterExpression: aws.String("begins_with(entity_id, :smoke)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":smoke": &types.AttributeValueMemberS{Value: "smoke_"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return int(out.Count)
}

func TestSmokeOfASystemThatLetsEverybodyIn(t *testing.T) {
	t.Parallel()
	r, env := startLocal(t, topology.AuthOpen)
	o := r.run(t, "smoke", "-c", "auth=open")
	o.expect(t, 0, "ok     page", "ok     connected", "written and seen")
	if n := strings.Count(o.out, "written and seen"); n != 2 {
		t.Errorf("it saw %d rows\n%s", n, o)
	}
	if n := left(t, env); n != 0 {
		t.Errorf("it leaves %d rows", n)
	}
}

func TestSmokeOfASystemThatWantsTickets(t *testing.T) {
	t.Parallel()
	r, env := startLocal(t, topology.AuthTicket)
	r.run(t, "smoke").expect(t, 0, "asking iops-dashboard-canary", "the canary connected")

	response, err := http.PostForm(env["TOKEN_URL"], url.Values{"username": {"ada"}, "tenant": {"acme"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	r.env["IOPS_TOKEN"] = answer.Token
	r.run(t, "smoke").expect(t, 0, "ok     connected", "written and seen")
	if n := left(t, env); n != 0 {
		t.Errorf("it leaves %d rows", n)
	}
}

func TestTells(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		return must(os.ReadFile(filepath.Join("..", "..", "..", "contracts", "examples", "frames", filepath.FromSlash(name))))
	}
	full, written := read("metric-update/v1/full.json"), row{id: "student_1", score: 82.5}
	for name, tc := range map[string]struct {
		frame []byte
		row   row
		want  bool
	}{
		"the row":           {full, written, true},
		"as it was before":  {full, row{id: "student_1", score: 0.5}, false},
		"another row":       {full, row{id: "student_2", score: 82.5}, false},
		"the row's removal": {read("metric-update/v1/delete.json"), row{id: "stu_9"}, false},
		"no JSON":           {[]byte("{"), written, false},
		"another frame":     {bytes.Replace(full, []byte("METRIC_UPDATE"), []byte("INSIGHT_CREATED"), 1), written, false},
	} {
		if got := tells(tc.frame, tc.row); got != tc.want {
			t.Errorf("a frame with %s tells of it: %v, want %v", name, got, tc.want)
		}
	}
}
