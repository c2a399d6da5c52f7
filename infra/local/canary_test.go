package local_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	stdlog "log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

// TestNoCanaryInLogs sends a text of its own through every path of the whole system, good paths and failing ones, and
// looks for each in all that any part prints: as it is, and in the forms in which it may have been written.
//
// What may be in a log: names of attributes, of members of events, of entity types and contracts; a hash. Values may
// not, nor ids of entities, subjects, sessions and connections, nor tokens and tickets.
func TestNoCanaryInLogs(t *testing.T) {
	printed := &printed{}
	stdlog.SetOutput(io.MultiWriter(os.Stderr, printed)) // of what runs in this process
	defer stdlog.SetOutput(os.Stderr)

	answers := &failures{}
	stack := start(t, local.Options{
		Topology: unscheduled(withFailingTwins(withBriefTickets(topology.New(topology.Options{Auth: topology.AuthTicket})))), Origins: []string{page, otherPage},
		Tell: printed.tell, Intercept: answers.wrap,
	})
	p := &paths{visitors: &visitors{clients: newClients(stack.Env())}, canaries: &canaries{texts: map[string]string{}}, answers: answers, stack: stack}
	for _, path := range []struct {
		name string
		send func(*testing.T)
	}{
		{"posts", p.sendByPosts}, {"tokens", p.sendByTokens}, {"handshakes", p.sendByHandshakes}, {"commands", p.sendByCommands},
		{"rows", p.sendByRows}, {"messages", p.sendByMessages}, {"HTTP", p.sendByHTTP}, {"events", p.sendByEvents},
	} {
		t.Run(path.name, path.send)
	}
	for _, line := range []string{ // by which one knows that the paths were gone
		`"msg":"no ticket issued"`, `"msg":"ticket issued"`, `"msg":"authorize"`, `"outcome":"denied"`, `"outcome":"unauthorized"`, `"outcome":"failed"`,
		`"answer":"INVALID"`, `"answer":"TOO_LARGE"`, `"answer":"UNAVAILABLE"`, `"answer":"SNAPSHOT"`, `"msg":"quarantined"`, `"msg":"message dead-lettered"`,
		`"msg":"batch"`, `"dropped":{`, `"msg":"post refused`, `"msg":"connection marked for synchronisation"`, `"msg":"gone connection removed"`,
		`"msg":"views not understood, everything is sent"`, `gateway: connection rejected`, `gateway: connection ended`, `httpapi: integration failed`, `"_aws":{`,
	} {
		eventually(t, line, func() bool { return strings.Contains(printed.String(), line) })
	}
	p.rememberConnections(t)
	stack.Close()

	for _, secret := range p.secrets {
		for _, part := range strings.Split(secret, ".") { // those of a token tell as much
			p.canaries.texts[part] = "a token or ticket"
		}
	}
	logs := readLogs(t, stack)
	logs["all that was told"] = printed.String()
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		for _, leak := range p.canaries.in(logs[name]) {
			t.Errorf("%s tells %s", name, leak)
		}
	}
	t.Logf("%d canaries, %d bytes of logs", len(p.canaries.texts), len(printed.String()))
}

// withFailingTwins adds to each function one whose tables, topic and queues there are not, and one that has no time.
func withFailingTwins(system topology.Topology) topology.Topology {
	for _, f := range system.Functions {
		lost, slow := f, f
		lost.Name, slow.Name = f.Name+"-lost", f.Name+"-slow"
		lost.Environment = maps.Clone(f.Environment)
		for name, ref := range f.Environment {
			if ref.Kind == topology.TableName || ref.Kind == topology.TopicARN || ref.Kind == topology.QueueURL {
				lost.Environment[name] = topology.Ref{Kind: topology.Literal, Name: nowhere}
			}
		}
		slow.Timeout = time.Millisecond
		system.Functions = append(system.Functions, lost, slow)
	}
	tickets := system.HTTP.Routes["POST /tickets"]
	system.HTTP.Routes["POST /lost"], system.HTTP.Routes["POST /slow"] = tickets+"-lost", tickets+"-slow"
	return system
}

// canaries are texts that belong in no log, and what each stands for.
type canaries struct {
	mu    sync.Mutex
	texts map[string]string
}

// sing returns a new canary. It looks the same quoted, escaped or in a URL.
func (c *canaries) sing(what string) string {
	var b [9]byte
	_, _ = rand.Read(b[:])
	text := "canary" + hex.EncodeToString(b[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[text] = what
	return text
}

// in returns what a log tells.
func (c *canaries) in(log string) (leaks []string) {
	folded := strings.ToLower(log)
	for text, what := range c.texts {
		for form, pattern := range formsOf(text) {
			if strings.Contains(log, pattern) {
				at := strings.Index(log, pattern)
				leaks = append(leaks, fmt.Sprintf("%s, %s: …%s…", what, form, log[max(0, at-200):min(len(log), at+100)]))
			}
		}
		if strings.Contains(folded, hex.EncodeToString([]byte(text))) {
			leaks = append(leaks, what+", in hexadecimal digits")
		}
	}
	return leaks
}

// formsOf are the ways in which a text may be written, alone or within another.
func formsOf(text string) map[string]string {
	forms := map[string]string{"as it is": text}
	if escaped := url.QueryEscape(text); escaped != text {
		forms["in a URL"] = escaped
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 {
			coded := encoding.EncodeToString(append(make([]byte, before), text...))
			coded = coded[[]int{0, 2, 3}[before]:] // what the bytes before it have a part in
			if (before+len(text))%3 != 0 {         // and those after it
				coded = coded[:len(coded)-1]
			}
			forms[fmt.Sprint(name, ", ", before, " bytes within")] = coded
		}
	}
	return forms
}

func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	c := &canaries{texts: map[string]string{}}
	text := c.sing("it")
	for name, log := range map[string]string{
		"plain": text, "in JSON": fmt.Sprintf("%q", `{"a":"`+text+`é"}`), "in a URL": url.QueryEscape(`"` + text + `é`),
		"base64": base64.StdEncoding.EncodeToString([]byte(text)), "base64url within": base64.URLEncoding.EncodeToString([]byte("é?>" + text + "é?>~")),
		"base64, one byte within": base64.StdEncoding.EncodeToString([]byte("x" + text + "x")), "base64, two bytes within": base64.StdEncoding.EncodeToString([]byte("xy" + text)),
		"hex": hex.EncodeToString([]byte(text)), "HEX": strings.ToUpper(hex.EncodeToString([]byte("x" + text))),
	} {
		if len(c.in("… "+log+" …")) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	if got := c.in("canary in a coal mine"); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

// printed is all that was printed.
type printed struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (p *printed) tell(name, line string) { fmt.Fprintln(p, name, line) }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.String()
}

// failures answers the posts to come in the gateway's place.
type failures struct{ next atomic.Pointer[failure] }

type failure struct {
	status     int
	kind, text string
	tells      bool // the connection's id, as API Gateway does
}

func (f *failures) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		failure := f.next.Load()
		if failure == nil || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		text := failure.text
		if failure.tells {
			text += " " + r.URL.Path
		}
		w.Header().Set("x-amzn-ErrorType", failure.kind)
		w.Header().Set("x-amzn-RequestId", failure.text)
		w.WriteHeader(failure.status)
		_, _ = fmt.Fprintf(w, `{"message":%q}`, text)
	})
}

// paths are those on which something secret may come in.
type paths struct {
	*visitors
	canaries *canaries
	answers  *failures
	stack    *local.Stack
}

func (p *paths) sing(what string) string { return p.canaries.sing(what) }

// call sends a request that is full of canaries. Whatever comes of it is good; its status is returned.
func (p *paths) call(t *testing.T, method, target, body string, header http.Header) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = p.header(header)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// header adds headers with canaries to those that are given.
func (p *paths) header(given http.Header) http.Header {
	all := http.Header{}
	for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer", "X-Api-Key", "X-Forwarded-For", "User-Agent", "X-Amz-Security-Token"} {
		all.Set(name, p.sing("the header "+name))
	}
	maps.Copy(all, given)
	return all
}

func (p *paths) sendByTokens(t *testing.T) {
	subject, tenant := p.sing("a subject"), "acme"
	token := p.token(t, subject, tenant)
	session, _ := claimsOf(t, token)["sid"].(string)
	p.canaries.texts[session] = "a session"
	for _, path := range []string{"/tickets", "/brief", "/lost", "/slow"} {
		for _, origin := range []string{page, "", "https://" + p.sing("an origin") + ".example"} {
			p.ask(t, path, token, origin)
		}
		for _, bad := range []string{
			p.sing("a token"), token[:len(token)-4] + "AAAA", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + p.sing("claims") + ".",
			p.token(t, p.sing("a subject"), "acme#"+p.sing("a tenant")), p.token(t, p.sing("a subject"), tenant, "entity_types", p.sing("entity types")+"*"),
			p.token(t, strings.Repeat(p.sing("a long subject"), 20), tenant),
		} {
			p.ask(t, path, bad, page)
		}
	}
	for range 12 { // more than one gets
		p.ask(t, "/tickets", token, page)
	}
	for _, path := range []string{"/token", "/authorize", "/logout", "/" + p.sing("a path")} {
		query := "?code=" + p.sing("a code") + "&state=" + p.sing("a state") + "&id_token_hint=" + p.sing("a token") + "&redirect_uri=" + p.sing("a URI")
		form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {page}}
		p.call(t, http.MethodGet, p.env["ISSUER_URL"]+path+query, "", nil)
		p.call(t, http.MethodPost, p.env["ISSUER_URL"]+path+query, "grant_type=refresh_token&refresh_token="+p.sing("a refresh token")+"&code_verifier="+p.sing("a verifier"), form)
	}
}

// knock tries a handshake with canaries, and returns a connection if it is let in.
func (p *paths) knock(t *testing.T, query string, header http.Header) *websocket.Conn {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), p.env["WEBSOCKET_URL"]+query, &websocket.DialOptions{
		HTTPHeader: p.header(header), Subprotocols: []string{p.sing("a subprotocol")},
	})
	if response == nil {
		t.Fatal(err)
	}
	return conn
}

func (p *paths) fromPage() http.Header { return http.Header{"Origin": {page}} }

func (p *paths) sendByHandshakes(t *testing.T) {
	fresh := func() string { return p.ticket(t, "/tickets", p.token(t, p.sing("a subject"), "acme"), page) }
	spent := fresh()
	for _, query := range []string{
		"?ticket=" + spent, "?ticket=" + spent, "?ticket=" + p.sing("a forged ticket"), "?ticket=" + p.ticket(t, "/brief", p.token(t, p.sing("a subject"), "acme"), page),
		"?token=" + p.sing("a token in the query"), "?ticket=" + fresh() + "&ticket=" + p.sing("a second ticket"),
		"?ticket=" + fresh() + "&contracts=" + p.sing("the name of no contract"), "?ticket=" + fresh() + "&" + p.sing("a name in the query") + "=" + p.sing("a value in the query"),
		"?ticket=" + strings.Repeat(p.sing("a long query"), 200), "?ticket=" + fresh() + "&connectionId=" + p.sing("a connection id"),
		"?" + p.sing("a query"), "/" + p.sing("a path") + "?ticket=" + fresh(),
	} {
		if conn := p.knock(t, query, p.fromPage()); conn != nil {
			_ = conn.Close(websocket.StatusNormalClosure, p.sing("the reason of a close"))
		}
	}
	p.knock(t, "?ticket="+fresh(), http.Header{"Origin": {"https://" + p.sing("an origin") + ".example"}})
	p.knock(t, "?ticket="+fresh(), http.Header{"Origin": {otherPage}})
	target := "http" + strings.TrimPrefix(p.env["WEBSOCKET_URL"], "ws")
	p.call(t, http.MethodGet, target+"?ticket="+p.sing("a ticket without an upgrade"), "", nil)
	p.call(t, http.MethodPost, target+"?ticket="+p.sing("a ticket of a POST"), p.sing("a body"), nil)
	p.shout(t, "GET /prod?ticket="+p.sing("a ticket in no HTTP")+" HTTP/9.9\r\n\r\n", "GET /prod HTTP/1.1\r\nHost: x\r\nAuthorization"+p.sing("a header in no HTTP")+"\r\n\r\n")
}

// shout says to the gateway what is no HTTP.
func (p *paths) shout(t *testing.T, texts ...string) {
	t.Helper()
	at, err := url.Parse(p.env["WEBSOCKET_URL"])
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

// visit lets somebody in.
func (p *paths) visit(t *testing.T) *client {
	t.Helper()
	conn := p.knock(t, "?ticket="+p.ticket(t, "/tickets", p.token(t, p.sing("a subject"), "acme"), page), p.fromPage())
	if conn == nil {
		t.Fatal("refused")
	}
	return listen(t, conn)
}

func (p *paths) sendByCommands(t *testing.T) {
	ws := p.visit(t)
	where := `[{"entity_type":"subject","where":[{"attribute":"region","operator":"eq","value":"` + p.sing("a value in a view") + `"}]}]`
	for n, body := range []string{
		`{"action":"sync","sync_id":1,"views":` + where + `}`,
		`{"action":"sync","sync_id":2,"views":` + where + `,"digest":"` + p.sing("a digest") + `"}`,
		`{"action":"sync","sync_id":2,"views":` + where + `,"` + p.sing("a member's name") + `":"` + p.sing("a member's value") + `"}`,
		`{"action":"sync","sync_id":"` + p.sing("a sync id") + `","views":[]}`,
		`{"action":"sync","sync_id":2,"views":[{"entity_type":"` + p.sing("an entity type") + `"}]}`,
		`{"action":"sync","sync_id":2,"views":[{"entity_type":"student","where":[{"attribute":"` + p.sing("an attribute") + `","operator":"` + p.sing("an operator") + `","value":"` + p.sing("a value") + `"}]}]}`,
		`{"action":"sync","sync_id":2,"views":[{"entity_type":"student","fields":["` + p.sing("a field") + `"]}]}`,
		`{"action":"sync","sync_id":2,"views":[],"contracts":["` + p.sing("a contract") + `"]}`,
		`{"action":"` + p.sing("an action") + `","ticket":"` + p.sing("a ticket in a command") + `"}`,
		p.sing("a message that is no JSON"), `["` + p.sing("a list") + `"]`, `{"action":"sync","` + p.sing("half a member"),
		`{"action":"sync","sync_id":2,"views":[],"x":"` + strings.Repeat(p.sing("a large command"), 300) + `"}`,
		strings.Repeat(`{"`+p.sing("a deep command")+`":`, 100),
	} {
		ws.send(t, body)
		if head := ws.answer(t); head.Type == "" {
			t.Errorf("message %d: no answer", n)
		}
	}
	// Whether the next command meets a function that dies or a new one, it is answered, by whatever frame.
	unchecked := p.knock(t, "?ticket="+p.ticket(t, "/tickets", p.token(t, p.sing("a subject"), "acme"), page), p.fromPage())
	killSandboxes(t, p.stack, "iops-dashboard-sync")
	if err := unchecked.Write(t.Context(), websocket.MessageText, []byte(`{"action":"sync","sync_id":3,"views":`+where+`}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unchecked.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = unchecked.Close(websocket.StatusNormalClosure, "")
	other := p.visit(t)
	if err := other.conn.Write(t.Context(), websocket.MessageBinary, []byte(p.sing("a binary message"))); err != nil {
		t.Fatal(err)
	}
	<-other.ended
	large := p.visit(t)
	_ = large.conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat(p.sing("an oversize frame"), 2000)))
	<-large.ended
}

func (p *paths) sendByRows(t *testing.T) {
	ws := p.visit(t)
	p.plantViews(t)
	id := p.sing("an entity id")
	p.update(t, "subject", id, row{
		"tenant": "acme", "region": p.sing("an attribute"), "home_address": p.sing("an attribute that no schema names"), "nested": []string{p.sing("a list")},
	})
	ws.waitFor(t, id)
	person := p.sing("an entity id")
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	finding := func(more row) row {
		r := row{"tenant": "acme", "pk": "insight#" + person, "sk": at, "entity_id": person, "prediction_type": "low_health_score", "risk_score": 84, "timestamp": at}
		maps.Copy(r, more)
		return r
	}
	p.find(t, finding(row{
		"alert_id": p.sing("an alert id"), "explanation": "Ask for " + p.sing("a name in an explanation"), "recommendations": []string{p.sing("a recommendation")},
		"model_used": p.sing("a model"), "called_by": p.sing("an insight's attribute that no schema names"),
	}))
	ws.waitForInsight(t, "insight#"+person)
	for n, broken := range []row{ // to quarantine, with reasons
		{"tenant": "acme", "sessions_7d": p.sing("a text for a number")}, {"tenant": "acme", "segment": p.sing("no such segment")},
		{"tenant": "acme#" + p.sing("no such tenant")}, {"tenant": "acme", "last_updated": p.sing("no such time")},
		{"tenant": "acme", "region": strings.Repeat(p.sing("a long attribute"), 2000)}, {"tenant": 7, "region": p.sing("an attribute of no tenant")},
	} {
		p.update(t, "subject", fmt.Sprint(p.sing("the id of a broken row"), n), broken)
	}
	p.update(t, "subject", strings.Repeat(p.sing("a long id"), 60), row{"tenant": "acme", "health_score": 1})
	p.find(t, finding(row{"sk": p.sing("a time of no insight"), "timestamp": p.sing("no time")}))
	p.find(t, finding(row{"pk": "insight#" + p.sing("the key of a broken insight"), "risk_score": p.sing("no score")}))
	p.update(t, "subject", id, row{"tenant": "acme", "health_score": 5})
	ws.waitFor(t, id)
	p.remove(t, "subject", id)
	ws.waitFor(t, id)
}

// plantViews has the registry tell of views that cannot be read.
func (p *paths) plantViews(t *testing.T) {
	t.Helper()
	p.visit(t)
	for _, item := range p.items(t, "view#acme#*#") {
		item["views"] = attribute(`[{"entity_type":"student","where":[{"attribute":"segment","operator":"` + p.sing("an operator of a later release") + `","value":"` + p.sing("a value in the registry") + `"}]}]`)
		if _, err := p.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(p.env["CONNECTIONS_TABLE"]), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
}

// sendByMessages publishes what is no event: it goes to the dead letters with the reason.
func (p *paths) sendByMessages(t *testing.T) {
	example, err := os.ReadFile(root + "/contracts/examples/events/metric-update/v1/full.json")
	if err != nil {
		t.Fatal(err)
	}
	event := object(t, example)
	tenant, _ := event["tenant"].(string)
	for _, body := range []string{
		p.sing("a message"), `{"this is": "` + p.sing("no event") + `"}`, `{"type":"` + p.sing("a type") + `","tenant":"` + p.sing("a tenant") + `"}`,
		`{"type":"METRIC_UPDATE","data":"` + p.sing("data") + `"}`, string(example[:len(example)/2]) + p.sing("half an event"),
		strings.Replace(string(example), `"`+tenant+`"`, `"acme#`+p.sing("no tenant")+`"`, 1),
		strings.Replace(string(example), `"UPSERT"`, `"`+p.sing("no operation")+`"`, 1),
	} {
		p.publish(t, body)
		text := func(what string) snstypes.MessageAttributeValue {
			return snstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(p.sing(what))}
		}
		if _, err := p.sns.Publish(t.Context(), &sns.PublishInput{
			TopicArn: aws.String(p.env["TOPIC_ARN"]), Message: aws.String(body), Subject: aws.String(p.sing("a subject of a message")),
			MessageAttributes: map[string]snstypes.MessageAttributeValue{"type": text("a type"), "version": text("a version"), "x": text("an attribute of a message")},
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the dead letters", func() bool {
		n := strings.Count(readLog(t, p.stack, fanoutQueue), `"msg":"message dead-lettered"`)
		return n >= 12
	})
}

// sendByPosts has the gateway refuse posts, in words that tell of the connection.
func (p *paths) sendByPosts(t *testing.T) {
	for _, f := range []failure{
		{status: http.StatusBadRequest, kind: "BadRequestException", tells: true}, {status: http.StatusForbidden, kind: "ForbiddenException", tells: true},
		{status: http.StatusInternalServerError, kind: "InternalServerErrorException", tells: true}, {status: http.StatusRequestEntityTooLarge, kind: "PayloadTooLargeException"},
		{status: http.StatusTooManyRequests, kind: "LimitExceededException", tells: true}, {status: http.StatusTeapot, kind: "TeapotException", tells: true}, {status: http.StatusGone, kind: "GoneException", tells: true},
	} {
		ws := p.visit(t)
		f.text = p.sing("what the gateway says")
		p.answers.next.Store(&f)
		before := strings.Count(readLog(t, p.stack, fanoutQueue), `"msg":"round"`)
		p.update(t, "student", p.sing("an entity id"), row{"tenant": "acme", "health_score": 1})
		ws.send(t, `{"action":"sync","sync_id":1,"views":[{"entity_type":"*"}]}`)
		eventually(t, "the fan-out to have tried", func() bool {
			return strings.Count(readLog(t, p.stack, fanoutQueue), `"msg":"round"`) > before
		})
		p.answers.next.Store(nil)
		ws.close(t)
	}
	api := p.env["WEBSOCKET_API_ENDPOINT"]
	for _, id := range []string{p.sing("a connection id"), "L0SM9cOFvHcCIhw="} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodPut} {
			p.call(t, method, api+"/@connections/"+id, p.sing("a post"), nil)
			p.call(t, method, api+"/@connections/"+id, p.sing("a post"), http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=" + p.sing("a key")}})
		}
	}
}

func (p *paths) sendByHTTP(t *testing.T) {
	token := p.token(t, p.sing("a subject"), "acme")
	for _, path := range []string{"/tickets", "/lost", "/slow", "/metrics", "/insights", "/entities/student/" + p.sing("an entity id"), "/" + p.sing("a path")} {
		query := "?entity_type=student&since=" + p.sing("a time") + "&cursor=" + p.sing("a cursor") + "&where=" + p.sing("a condition") + "&token=" + p.sing("a token") + "&" + p.sing("a name") + "=1"
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			p.call(t, method, p.env["API_URL"]+path+query, p.sing("a body"), nil)
			p.call(t, method, p.env["API_URL"]+path+query, p.sing("a body"), http.Header{
				"Authorization": {"Bearer " + token}, "Origin": {page}, "If-None-Match": {`"` + p.sing("an ETag") + `"`},
			})
		}
	}
	where := url.QueryEscape(`[{"attribute":"region","operator":"eq","value":"` + p.sing("a value") + `"}]`)
	for _, path := range []string{"/metrics?entity_type=subject&where=" + where, "/entities/subject/" + p.sing("an entity id")} {
		p.call(t, http.MethodGet, p.env["API_URL"]+path, "", http.Header{"Authorization": {"Bearer " + token}, "If-None-Match": {`W/"` + p.sing("an ETag") + `"`}})
	}
	p.call(t, http.MethodPost, p.env["API_URL"]+"/tickets", strings.Repeat(p.sing("a large body"), 400_000), http.Header{"Authorization": {"Bearer " + token}})
}

// sendByEvents hands functions, good ones and failing ones, what API Gateway and Lambda would, and what they would not.
func (p *paths) sendByEvents(t *testing.T) {
	proxy := func(route, body string) string {
		return fmt.Sprintf(`{"requestContext":{"routeKey":%q,"connectionId":%q,"connectedAt":%d,"requestId":"R1knPc2ntjMCFIA=","identity":{"sourceIp":%q},
			"authorizer":{"tenant":"acme","subject":%q,"session":%q,"entity_types":"*"}},
			"headers":{"Authorization":%q,"Cookie":%q},"queryStringParameters":{"ticket":%q},"multiValueQueryStringParameters":{"ticket":[%q]},"body":%q}`,
			route, p.sing("a connection id"), time.Now().UnixMilli(), p.sing("an address"), p.sing("a subject"), p.sing("a session"),
			p.sing("an authorization"), p.sing("a cookie"), p.sing("a ticket"), p.sing("a ticket"), body)
	}
	record := fmt.Sprintf(`{"Records":[{"eventID":"e1","eventName":"INSERT","eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/iops-dashboard-metrics/stream/2026-11-22T10:00:00.000",
		"dynamodb":{"Keys":{"entity_id":{"S":%q},"entity_type":{"S":"subject"}},"NewImage":{"entity_id":{"S":%q},"entity_type":{"S":"subject"},"region":{"S":%q}},"SequenceNumber":"100000000000000000001"}}]}`,
		p.sing("an entity id"), p.sing("an entity id"), p.sing("an attribute"))
	events := map[string][]string{
		"connect": {proxy("$connect", "")}, "disconnect": {proxy("$disconnect", "")}, "authorize": {proxy("$connect", "")},
		"sync": {
			proxy("sync", `{"action":"sync","sync_id":1,"views":[{"entity_type":"subject","where":[{"attribute":"region","operator":"eq","value":"`+p.sing("a value")+`"}]}]}`),
			proxy("sync", p.sing("a body")),
		},
		"tickets": {fmt.Sprintf(`{"headers":{"origin":%q,"authorization":%q},"requestContext":{"requestId":"R1","authorizer":{"jwt":{"claims":{"sub":%q,"tenant":"acme","sid":%q}}}},"body":%q}`,
			page, p.sing("an authorization"), p.sing("a subject"), p.sing("a session"), p.sing("a body"))},
		"query": {fmt.Sprintf(`{"routeKey":"GET /entities/{type}/{id+}","headers":{"authorization":%q},"pathParameters":{"type":"student","id":%q},
			"requestContext":{"requestId":"R1","authorizer":{"jwt":{"claims":{"sub":%q,"tenant":"acme","sid":%q}}}}}`,
			p.sing("an authorization"), p.sing("an entity id"), p.sing("a subject"), p.sing("a session"))},
		"revoke":     {`{"tenant":"acme","subject":"` + p.sing("a subject") + `"}`, `{"tenant":"#","session":"` + p.sing("a session") + `"}`},
		"normalizer": {record},
		"canary":     {`{"detail-type":"Scheduled Event","id":"` + p.sing("the id of an event") + `","resources":["` + p.sing("the name of a rule") + `"],"detail":{}}`},
	}
	for _, command := range slices.Sorted(maps.Keys(events)) {
		garbage := []string{
			`"` + p.sing("a text for an event") + `"`, `{"requestContext":"` + p.sing("a text for a context") + `","Records":"` + p.sing("a text for records") + `","tenant":{"x":"` + p.sing("an object for a tenant") + `"}}`,
			`{"requestContext":{"connectedAt":"` + p.sing("a text for a time") + `","connectionId":["` + p.sing("a list for an id") + `"]}}`,
			`{"Records":[{"eventID":"e1","dynamodb":{"Keys":"` + p.sing("a text for keys") + `"}}]}`,
		}
		for _, twin := range []string{"", "-lost", "-slow"} {
			for _, event := range append(events[command], garbage...) {
				p.invoke(t, "iops-dashboard-"+command+twin, event)
			}
		}
	}
	lambda := p.env["AWS_ENDPOINT_URL_LAMBDA"] + "/2015-03-31/functions/"
	p.call(t, http.MethodPost, lambda+p.sing("a function")+"/invocations", p.sing("an event"), nil)
	p.call(t, http.MethodPost, lambda+"iops-dashboard-connect/invocations", p.sing("an event that is no JSON"), nil)
}

// rememberConnections takes down the id of every connection that there was.
func (p *paths) rememberConnections(t *testing.T) {
	t.Helper()
	n := 0
	for _, item := range p.items(t, "conn#") {
		p.canaries.texts[strings.TrimPrefix(textOf(item["pk"]), "conn#")] = "a connection id"
		n++
	}
	if n < 10 {
		t.Errorf("only %d connections were remembered", n)
	}
}
