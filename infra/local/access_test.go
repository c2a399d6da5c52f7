package local_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/topology"
)

const page, otherPage = "https://app.example.com", "https://admin.example.com"

// visitors come with tokens and tickets, and remember all of them.
type visitors struct {
	clients
	mu      sync.Mutex
	secrets []string
}

func (v *visitors) remember(secret string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets = append(v.secrets, secret)
	return secret
}

// token signs in a user of a tenant; more are further fields of the form, each followed by its value.
func (v *visitors) token(t *testing.T, user, tenant string, more ...string) string {
	t.Helper()
	form := url.Values{"username": {user}, "tenant": {tenant}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	response, err := http.PostForm(v.env["TOKEN_URL"], form)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: status %d, %v", response.StatusCode, err)
	}
	return v.remember(answer.Token)
}

// ask sends a token to the API, from a page unless origin is empty.
func (v *visitors) ask(t *testing.T, path, token, origin string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.env["API_URL"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// ticket gets a ticket for a token.
func (v *visitors) ticket(t *testing.T, path, token, origin string) string {
	t.Helper()
	status, body := v.ask(t, path, token, origin)
	if err := contracts.ValidateProducer(contracts.KindTicketV1, body); err != nil || status != http.StatusCreated {
		t.Fatalf("no ticket: status %d, %v", status, err)
	}
	var issued contracts.TicketV1
	if err := json.Unmarshal(body, &issued); err != nil {
		t.Fatal(err)
	}
	return v.remember(issued.Ticket)
}

// dial opens a WebSocket, from a page unless origin is empty. The status is 101, or that of the refusal.
func (v *visitors) dial(t *testing.T, query, origin string) (*client, int) {
	t.Helper()
	conn, status := v.open(t, query, origin)
	if conn == nil {
		return nil, status
	}
	return listen(t, conn), status
}

// open is dial for those who listen themselves.
func (v *visitors) open(t *testing.T, query, origin string) (*websocket.Conn, int) {
	t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, response, err := websocket.Dial(t.Context(), v.env["WEBSOCKET_URL"]+query, &websocket.DialOptions{HTTPHeader: header})
	if response == nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil, response.StatusCode
	}
	return conn, response.StatusCode
}

// invoke runs a function, as an operator does.
func (v *visitors) invoke(t *testing.T, function, payload string) string {
	t.Helper()
	return post(t, v.env["AWS_ENDPOINT_URL_LAMBDA"]+"/2015-03-31/functions/"+function+"/invocations", payload)
}

// enter signs in, gets a ticket and opens a WebSocket from a page.
func (v *visitors) enter(t *testing.T, user, tenant string, more ...string) *client {
	t.Helper()
	ws, status := v.dial(t, "?ticket="+v.ticket(t, "/tickets", v.token(t, user, tenant, more...), page), page)
	if ws == nil {
		t.Fatalf("refused with %d", status)
	}
	return ws
}

// withBriefTickets adds a route to tickets that have expired when they arrive.
func withBriefTickets(system topology.Topology) topology.Topology {
	brief, _ := system.Function(system.HTTP.Routes["POST /tickets"])
	brief.Name += "-brief"
	brief.Environment = maps.Clone(brief.Environment)
	brief.Environment["TICKET_LIFETIME"] = topology.Ref{Kind: topology.Literal, Name: "1ns"}
	system.Functions = append(system.Functions, brief)
	system.HTTP.Routes["POST /brief"] = brief.Name
	return system
}

// unscheduled takes from a system what it does by itself, for who counts what is there.
func unscheduled(system topology.Topology) topology.Topology {
	system.Schedules = nil
	return system
}

// rows lists the registry's partition keys that begin so.
func (v *visitors) rows(t *testing.T, prefix string) []string {
	t.Helper()
	var keys []string
	for _, item := range v.items(t, prefix) {
		keys = append(keys, textOf(item["pk"]))
	}
	return keys
}

// items lists the registry's items whose partition keys begin so.
func (v *visitors) items(t *testing.T, prefix string) []map[string]types.AttributeValue {
	t.Helper()
	out, err := v.dynamo.Scan(t.Context(), &dynamodb.ScanInput{
		TableName: aws.String(v.env["CONNECTIONS_TABLE"]), ConsistentRead: aws.Bool(true), FilterExpression: aws.String("begins_with(pk, :p)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: prefix}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Items
}

func textOf(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func TestTicketsAreForPages(t *testing.T) {
	t.Parallel()
	system := topology.New(topology.Options{Auth: topology.AuthTicket})
	if _, err := local.Start(t.Context(), local.Options{Root: root, Dir: t.TempDir(), Topology: system}); err == nil || !strings.Contains(err.Error(), "Origins") {
		t.Errorf("Start() = %v, want it to say that no page may have a ticket", err)
	}
}

// TestTickets runs the whole system with tickets, whose functions are the deployed ones: token, ticket, handshake, row,
// update, revocation.
func TestTickets(t *testing.T) {
	t.Parallel()
	system := unscheduled(withBriefTickets(topology.New(topology.Options{Auth: topology.AuthTicket})))
	stack := start(t, local.Options{Topology: system, Origins: []string{page, otherPage}})
	v := &visitors{clients: newClients(stack.Env())}

	t.Run("nobody comes in without the right ticket from the right page", func(t *testing.T) {
		token := v.token(t, "mallory", "acme")
		ticket := func() string {
			return "?ticket=" + v.ticket(t, "/tickets", v.token(t, "mallory-"+t.Name(), "acme"), page)
		}
		service := func() string {
			return "?ticket=" + v.ticket(t, "/tickets", v.token(t, "importer", "acme", "service", "true"), "")
		}
		for name, tc := range map[string]struct {
			query  func() string
			origin string
			status int
		}{
			"no ticket":                   {func() string { return "" }, page, 401},
			"an empty ticket":             {func() string { return "?ticket=" }, page, 401},
			"a forged ticket":             {func() string { return "?ticket=" + strings.Repeat("A", 43) }, page, 401},
			"the token as a ticket":       {func() string { return "?ticket=" + token }, page, 401},
			"an expired ticket":           {func() string { return "?ticket=" + v.ticket(t, "/brief", token, page) }, page, 401},
			"two tickets":                 {func() string { return ticket() + "&ticket=x" }, page, 401},
			"no origin":                   {ticket, "", 403},
			"a null origin":               {ticket, "null", 403},
			"a stranger":                  {ticket, "https://evil.example", 403},
			"a page with a suffix":        {ticket, page + ".evil.example", 403},
			"a page with a port":          {ticket, page + ":443", 403},
			"a page in capitals":          {ticket, strings.ToUpper(page), 403},
			"another page that may, too":  {ticket, otherPage, 403},
			"a page, a service's ticket":  {service, page, 403},
			"a token in the place of all": {func() string { return "?token=" + token }, page, 401},
		} {
			if ws, status := v.dial(t, tc.query(), tc.origin); ws != nil || status != tc.status {
				t.Errorf("%s: status %d, want %d", name, status, tc.status)
			}
		}
		if rows := v.rows(t, "conn#"); len(rows) > 0 {
			t.Errorf("the refused have rows: %v", rows)
		}
	})

	t.Run("nobody gets a ticket without the right token from the right page", func(t *testing.T) {
		token := v.token(t, "eve", "acme")
		for name, tc := range map[string]struct {
			token, origin string
			status        int
		}{
			"no token":        {"", page, 401},
			"a forged token":  {token[:len(token)-4] + "AAAA", page, 401},
			"a ticket":        {strings.Repeat("A", 43), page, 401},
			"a stranger":      {token, "https://evil.example", 403},
			"no page":         {token, "", 403},
			"a tenant's key":  {v.token(t, "eve", "acme#*"), page, 401},
			"types that lack": {v.token(t, "eve", "acme", "entity_types", "*"), page, 403},
		} {
			if status, body := v.ask(t, "/tickets", tc.token, tc.origin); status != tc.status || strings.Contains(string(body), `"ticket"`) {
				t.Errorf("%s: status %d, want %d", name, status, tc.status)
			}
		}
		for n := range 21 { // a new window may begin meanwhile
			status, body := v.ask(t, "/tickets", token, page)
			if status == http.StatusTooManyRequests {
				if err := contracts.ValidateProducer(contracts.KindProblemV1, body); err != nil || n < 10 {
					t.Errorf("after %d tickets: %s, %v", n, body, err)
				}
				return
			}
		}
		t.Error("as many tickets as one likes")
	})

	t.Run("a ticket lets in once, into its tenant", func(t *testing.T) {
		ticket := "?ticket=" + v.ticket(t, "/tickets", v.token(t, "ada", "acme"), page)
		ws, status := v.dial(t, ticket, page)
		if ws == nil {
			t.Fatalf("refused with %d", status)
		}
		if again, status := v.dial(t, ticket, page); again != nil || status != http.StatusUnauthorized {
			t.Errorf("the same ticket again: status %d", status)
		}
		if rows := v.rows(t, "view#"); len(rows) != 1 || !strings.HasPrefix(rows[0], "view#acme#*#") {
			t.Errorf("rows %v", rows)
		}
		other := v.enter(t, "bob", "umbrella")
		v.update(t, "student", "stu_acme", row{"health_score": 11, "tenant": "acme"})
		v.update(t, "student", "stu_umbrella", row{"health_score": 12, "tenant": "umbrella"})
		v.update(t, "student", "stu_nobody", row{"health_score": 13})
		v.update(t, "student", "stu_last", row{"health_score": 14, "tenant": "acme"})
		v.update(t, "student", "stu_end", row{"health_score": 15, "tenant": "umbrella"})
		ws.waitFor(t, "stu_acme")
		ws.waitFor(t, "stu_last")
		other.waitFor(t, "stu_umbrella")
		other.waitFor(t, "stu_end")
		for id, wrong := range map[string]bool{
			"stu_umbrella": ws.saw("stu_umbrella"), "stu_nobody": ws.saw("stu_nobody") || other.saw("stu_nobody"), "stu_acme": other.saw("stu_acme"),
		} {
			if wrong {
				t.Errorf("%s crossed tenants", id)
			}
		}
	})

	t.Run("a token for one type shows that type", func(t *testing.T) {
		ws := v.enter(t, "tom", "acme", "entity_types", "tutor")
		v.update(t, "student", "stu_hidden", row{"health_score": 21, "tenant": "acme"})
		v.update(t, "tutor", "tut_shown", row{"health_score": 22, "tenant": "acme"})
		v.update(t, "student", "stu_hidden", row{"health_score": 23, "tenant": "acme"})
		v.update(t, "tutor", "tut_last", row{"health_score": 24, "tenant": "acme"})
		ws.waitFor(t, "tut_shown")
		ws.waitFor(t, "tut_last")
		if ws.saw("stu_hidden") {
			t.Error("a student is shown")
		}
	})

	t.Run("a service needs no page", func(t *testing.T) {
		ticket := v.ticket(t, "/tickets", v.token(t, "reporter", "acme", "service", "true"), "")
		ws, status := v.dial(t, "?ticket="+ticket, "")
		if ws == nil {
			t.Fatalf("refused with %d", status)
		}
		v.update(t, "region", "reg_service", row{"health_score": 31, "tenant": "acme"})
		ws.waitFor(t, "reg_service")
	})

	t.Run("a subject is revoked", func(t *testing.T) {
		one, two, other := v.enter(t, "carol", "acme"), v.enter(t, "carol", "acme"), v.enter(t, "dave", "acme")
		if rows := v.rows(t, "subject#acme#carol"); len(rows) != 2 {
			t.Errorf("rows %v", rows)
		}
		outstanding := map[string]int{
			v.ticket(t, "/tickets", v.token(t, "carol", "acme"), page): http.StatusUnauthorized, v.ticket(t, "/tickets", v.token(t, "dave", "acme"), page): http.StatusSwitchingProtocols,
		}
		answer := v.invoke(t, "iops-dashboard-revoke", `{"tenant":"acme","subject":"carol"}`)
		if answer != `{"connections":2}` {
			t.Errorf("the function says %s", answer)
		}
		for _, ws := range []*client{one, two} {
			select {
			case <-ws.ended:
			case <-time.After(patience):
				t.Fatal("the socket is still open")
			}
			select {
			case b := <-ws.answers:
				f, err := readFrame[contracts.ReconnectFrameV1](contracts.KindReconnectFrameV1, b)
				if err != nil || f.Reason != contracts.ReconnectReasonRevoked || f.WithinMS != 0 {
					t.Errorf("the page is told %s, %v", b, err)
				}
			default:
				t.Error("the page is not told why")
			}
		}
		for ticket, want := range outstanding {
			if _, status := v.dial(t, "?ticket="+ticket, page); status != want {
				t.Errorf("with a ticket from before: status %d, want %d", status, want)
			}
		}
		eventually(t, "their rows to go", func() bool { return len(v.rows(t, "subject#acme#carol")) == 0 })
		v.update(t, "region", "reg_left", row{"health_score": 41, "tenant": "acme"})
		other.waitFor(t, "reg_left")
	})

	stack.Close()
	for name, log := range readLogs(t, stack) {
		for _, secret := range v.secrets {
			if strings.Contains(log, secret) {
				t.Errorf("%s tells a token or a ticket", name)
			}
		}
	}
}

// readLogs returns all that the parts of a system have printed, by the names of their logs.
func readLogs(t *testing.T, stack *local.Stack) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(stack.LogDir(), "*"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	logs := map[string]string{}
	for _, name := range files {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		logs[filepath.Base(name)] = string(log)
	}
	return logs
}
