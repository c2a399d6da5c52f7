package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/iops-dashboard/live/contracts"
)

// An attack ends when it has been answered, so that what it leads to is put down to it.
func (s *soak) attacks() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a hostile command":               s.attackByCommand,
		"a command of a limited user":     s.attackByLimitedUser,
		"a forged ticket":                 s.attackByTicket,
		"a ticket and somebody's else":    s.attackByQuery,
		"a page of another origin":        s.attackByOrigin,
		"a forged token":                  s.attackByToken,
		"a connection id":                 s.attackByConnection,
		"a connection that was ended":     s.attackAfterRevocation,
		"a request that names the tenant": s.attackByHTTP,
	}
}

// attackByCommand sends what a browser would not. Each is answered: by a refusal, or with what is ours.
func (s *soak) attackByCommand(t *testing.T) {
	if s.inside == nil || s.inside.closed() || s.inside.sent > 15 { // there may be twenty at once
		if s.inside != nil {
			s.inside.close()
		}
		s.inside = s.enter(t, s.mallory())
	}
	s.inside.sent++
	n := s.inside.sent
	victim := s.victim(t)
	sync := func(members string) string { return fmt.Sprintf(`{"action":"sync","sync_id":%d,%s}`, n, members) }
	views := func(view string) string { return sync(`"views":[` + view + `]`) }
	bodies := []string{
		sync(`"views":[{"entity_type":"*"}],"tenant":"acme.eu"`),
		sync(`"views":[{"entity_type":"*"}],"connectionId":"` + victim + `"`),
		sync(`"views":[{"entity_type":"*"}],"connection_id":"` + victim + `"`),
		sync(`"views":[{"entity_type":"*"}],"requestContext":{"connectionId":"` + victim + `","authorizer":{"tenant":"acme.eu"}}`),
		sync(`"views":[{"entity_type":"*"}],"VIEWS":[{"entity_type":"acme.eu#*"}]`),
		sync(`"views":[{"entity_type":"tutor"}],"views":[{"entity_type":"acme.eu#*"}]`),
		sync(`"views":[{"entity_type":"*"}],"contracts":["METRIC_UPDATE/1","acme.eu#METRIC/1"]`),
		sync(`"views":[{"entity_type":"*"}],"digest":"` + strings.Repeat("A", 22) + `"`),
		views(`{"entity_type":"*","tenant":"acme.eu"}`),
		views(`{"entity_type":"*"}`),
		views(`{"entity_type":"student"},{"entity_type":"insight"}`),
		views(`{"entity_type":"acme.eu#student"}`), views(`{"entity_type":"acme.eu#*"}`), views(`{"entity_type":"acme.eu#student#0"}`),
		views(`{"entity_type":"student#0"}`), views(`{"entity_type":"*#0"}`), views(`{"entity_type":"view#acme.eu#*#0"}`),
		views(`{"entity_type":"../acme.eu/student"}`), views(`{"entity_type":"student/otter_1"}`), views(`{"entity_type":"generation"}`), views(`{"entity_type":""}`),
		views(`{"entity_type":["student","acme.eu#student"]}`), views(`{"entity_type":{"S":"acme.eu#student"}}`),
		views(`{"entity_type":"student","where":[{"attribute":"tenant","operator":"eq","value":"acme.eu"}]}`),
		views(`{"entity_type":"student","where":[{"attribute":"entity_id","operator":"eq","value":"otter_1"}]}`),
		views(`{"entity_type":"student","where":[{"attribute":"image","operator":"contains","value":"otter"}]}`),
		views(`{"entity_type":"subject","where":[{"attribute":"region","operator":"eq","value":"otter"}]}`),
		views(`{"entity_type":"subject","where":[{"attribute":"region","operator":"eq","value":"\" OR pk = \"acme.eu#subject#0"}]}`),
		views(`{"entity_type":"student","where":[{"attribute":"health_score","operator":"gte","value":50}]}`),
		views(`{"entity_type":"student","fields":["tenant"]}`), views(`{"entity_type":"student","fields":["*"]}`),
		views(`{"entity_type":"student","fields":["health_score"]}`), views(`{"entity_type":"region","fields":["sessions_7d"]}`),
		`{"action":"$connect","connectionId":"` + victim + `"}`, `{"action":"$disconnect","connectionId":"` + victim + `"}`, `{"action":"$default"}`,
		`{"action":"subscribe","tenant":"acme.eu"}`, `{"action":{"$ne":"sync"}}`, `["sync"]`, `sync`, `{"action":"sync","sync_id":1e300,"views":[]}`,
		sync(`"views":[]`) + sync(`"views":[{"entity_type":"*"}]`), strings.Repeat(`{"a":`, 800), sync(`"views":[` + strings.Repeat(`{"entity_type":"*"},`, 60) + `{"entity_type":"*"}]`),
	}
	s.inside.say(t, bodies[s.rng.IntN(len(bodies))])
	if s.rng.IntN(50) == 0 {
		s.inside.sayBytes(t, websocket.MessageBinary, []byte("acme.eu"))
	}
}

// attackByLimitedUser asks for more than a user may see who is limited to some types.
func (s *soak) attackByLimitedUser(t *testing.T) {
	who := s.mallory()
	who.types = []string{"tutor"}
	spy := s.enter(t, who)
	defer spy.close()
	const refused = string(contracts.ErrorCodeForbidden)
	for _, tc := range []struct{ views, code string }{
		{`[{"entity_type":"student"}]`, refused}, {`[{"entity_type":"tutor"},{"entity_type":"insight"}]`, refused},
		{`[{"entity_type":"*"}]`, ""}, // which means the tutors
		{`[{"entity_type":"tutor"}]`, ""}, {`[{"entity_type":"student","where":[{"attribute":"health_score","operator":"ge","value":0}]}]`, refused},
	} {
		if got := spy.sync(t, tc.views); got.Code != tc.code {
			s.judge.accuse("a user of tutors asks for %s and is answered %s %s", tc.views, got.Type, got.Code)
		}
	}
}

// attackByTicket tries tickets that are none, none any more, or the wrong way to write one.
func (s *soak) attackByTicket(t *testing.T) {
	s.used = append(s.used[max(0, len(s.used)-20):], s.ticketFor(t, s.mallory()))
	last := s.used[len(s.used)-1]
	spent := s.ticketFor(t, s.mallory())
	spy := follow(t, s.judge, s.mustOpen(t, spent), s.mallory())
	spy.close()
	stored := "0"
	if out, err := s.dynamo.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(s.env["TICKETS_TABLE"]), ConsistentRead: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	} else if len(out.Items) > 0 {
		stored = textOf(out.Items[s.rng.IntN(len(out.Items))]["pk"])
	}
	_, digest, _ := strings.Cut(stored, "#")
	sum, _ := hex.DecodeString(digest)
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(s.rng.Uint32())
	}
	for what, query := range map[string]string{
		"nothing":                    "",
		"a spent ticket":             "?ticket=" + spent,
		"a ticket of long ago":       "?ticket=" + s.ticket(t, "/brief", s.tokenOf(t, s.mallory()), page),
		"a random ticket":            "?ticket=" + base64.RawURLEncoding.EncodeToString(random),
		"a key of the store":         "?ticket=" + url.QueryEscape(stored),
		"a hash of the store":        "?ticket=" + url.QueryEscape(digest),
		"a hash of the store, coded": "?ticket=" + base64.RawURLEncoding.EncodeToString(sum),
		"a ticket in capitals":       "?ticket=" + strings.ToUpper(last),
		"a ticket with a tail":       "?ticket=" + last + "=",
		"a ticket with a space":      "?ticket=+" + last,
		"a ticket less":              "?ticket=" + last[:42],
		"two tickets":                "?ticket=" + last + "&ticket=" + spent,
		"a name in capitals":         "?TICKET=" + last,
		"a token":                    "?ticket=" + s.tokenOf(t, s.mallory()),
		"a tenant":                   "?ticket=acme.eu&tenant=acme.eu",
		"an expression":              "?ticket=" + url.QueryEscape(`" OR attribute_exists(pk)`),
	} {
		if conn, status := s.open(t, query, page); conn != nil || status != http.StatusUnauthorized {
			s.judge.accuse("with %s: status %d", what, status)
			follow(t, s.judge, conn, person{name: what}).close()
		}
	}
}

func (s *soak) mustOpen(t *testing.T, ticket string) *websocket.Conn {
	t.Helper()
	conn, status := s.open(t, "?ticket="+ticket, page)
	if conn == nil {
		t.Fatalf("refused with %d", status)
	}
	return conn
}

// attackByQuery says at the door that one is somebody else. Who has a ticket of ours is ours.
func (s *soak) attackByQuery(t *testing.T) {
	victim := s.victim(t)
	for _, more := range []string{
		"&tenant=acme.eu&subject=bob&entity_types=*", "&connectionId=" + url.QueryEscape(victim), "&session=" + s.sessionOf(t, person{name: "bob", tenant: theirs}),
	} {
		conn, _ := s.open(t, "?ticket="+s.ticketFor(t, s.mallory())+more, page)
		if conn == nil {
			continue
		}
		spy := follow(t, s.judge, conn, s.mallory())
		spy.sync(t, `[{"entity_type":"*"}]`)
		s.put(t, "tutor", marks[theirs]+"_now", theirs)
		s.put(t, "tutor", marks[ours]+"_now", ours)
		spy.waitFor(t, "tutor/"+marks[ours]+"_now")
		spy.close()
	}
}

// attackByOrigin comes from pages that may not, or that have not asked for the ticket.
func (s *soak) attackByOrigin(t *testing.T) {
	for _, origin := range []string{"", "null", "https://evil.example", page + ".evil.example", page + "@evil.example", strings.ToUpper(page), page + "/", "http" + page[5:], otherPage} {
		if conn, status := s.open(t, "?ticket="+s.ticketFor(t, s.mallory()), origin); conn != nil || status != http.StatusForbidden {
			s.judge.accuse("from %q: status %d", origin, status)
			follow(t, s.judge, conn, person{name: origin}).close()
		}
	}
}

// attackByToken asks for tickets of theirs with tokens that their issuer has not signed.
func (s *soak) attackByToken(t *testing.T) {
	for what, token := range s.forgeries(t) {
		for _, path := range []string{"/tickets", "/brief"} {
			if status, body := s.ask(t, path, token, page); status != http.StatusUnauthorized || bytes.Contains(body, []byte(`"ticket"`)) {
				s.judge.accuse("with %s: status %d", what, status)
			}
		}
		if conn, status := s.open(t, "?ticket="+url.QueryEscape(token)+"&token="+url.QueryEscape(token), page); conn != nil || status != http.StatusUnauthorized {
			s.judge.accuse("with %s for a ticket: status %d", what, status)
			follow(t, s.judge, conn, person{name: what}).close()
		}
	}
}

func (s *soak) forgeries(t *testing.T) map[string]string {
	t.Helper()
	good := s.tokenOf(t, s.mallory())
	parts := strings.Split(good, ".")
	claims := claimsOf(t, good)
	claims["tenant"] = theirs
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	var header map[string]any
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatal("a token without a header")
	}
	sign := func(algorithm jose.SignatureAlgorithm, key any, claims map[string]any, more map[jose.HeaderKey]any) string {
		options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", header["kid"])
		for name, value := range more {
			options = options.WithHeader(name, value)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	other := maps.Clone(claims)
	other["iss"], other["aud"] = "https://issuer.example", "another-app"
	none := maps.Clone(header)
	none["alg"] = "none"
	return map[string]string{
		"another tenant under the same signature": parts[0] + "." + encode(claims) + "." + parts[2],
		"no signature":                      parts[0] + "." + encode(claims) + ".",
		"the algorithm none":                encode(none) + "." + encode(claims) + ".",
		"the algorithm none, signed":        encode(none) + "." + encode(claims) + "." + parts[2],
		"the public key as a shared secret": sign(jose.HS256, s.jwks(t), claims, nil),
		"another key":                       sign(jose.ES256, s.forger, claims, nil),
		"another key, which it brings":      sign(jose.ES256, s.forger, claims, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: s.forger.Public()}}),
		"another key, and where it is":      sign(jose.ES256, s.forger, claims, map[jose.HeaderKey]any{"jku": "https://issuer.example/jwks.json"}),
		"another issuer and audience":       sign(jose.ES256, s.forger, other, nil),
		"an issuer that says it is ours":    s.evilToken(t),
		"a token twice":                     good + "." + parts[1] + "." + parts[2],
		"nothing":                           "..",
	}
}

// jwks is the issuer's public key, as everybody can read it.
func (s *soak) jwks(t *testing.T) []byte {
	t.Helper()
	if s.rawJWKS == nil {
		response, err := http.Get(s.env["ISSUER_URL"] + "/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var b bytes.Buffer
		if _, err := b.ReadFrom(response.Body); err != nil {
			t.Fatal(err)
		}
		s.rawJWKS = b.Bytes()
	}
	return s.rawJWKS
}

func (s *soak) evilToken(t *testing.T) string {
	t.Helper()
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(url.Values{"username": {"bob"}, "tenant": {theirs}}.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.evil.ServeHTTP(answer, request)
	var told struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &told); err != nil || told.Token == "" {
		t.Fatalf("no token: %d %v", answer.Code, err)
	}
	return told.Token
}

// claimsOf reads a token as anybody can.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return object(t, text)
}

func (s *soak) sessionOf(t *testing.T, who person) string {
	t.Helper()
	session, _ := claimsOf(t, s.tokenOf(t, who))["sid"].(string)
	return session
}

// attackByConnection knows the id of somebody's connection, or guesses one, and has no key that signs.
func (s *soak) attackByConnection(t *testing.T) {
	victim := s.victim(t)
	guess := []byte(victim)
	guess[s.rng.IntN(len(guess)-2)] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[s.rng.IntN(26)]
	for _, target := range []string{
		"/@connections/" + url.PathEscape(victim), "/@connections/" + string(guess), "/@connections/?connectionId=" + url.QueryEscape(victim),
		"/@connections/x/../" + victim, "/%40connections/" + victim, "/@connections", "?connectionId=" + url.QueryEscape(victim),
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			request, err := http.NewRequestWithContext(t.Context(), method, s.env["WEBSOCKET_API_ENDPOINT"]+target, strings.NewReader(`{"type":"RESYNC","by":"`+marks[nobodys]+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode < 400 {
				s.judge.accuse("%s %s: status %d", method, target, response.StatusCode)
			}
		}
	}
	for _, spy := range s.spies {
		if spy.closed() {
			s.judge.accuse("%s of %s was thrown out", spy.name, spy.tenant)
		}
	}
}

// attackAfterRevocation goes on when its session has ended, and an operator of ours cannot end one of theirs.
func (s *soak) attackAfterRevocation(t *testing.T) {
	who := s.mallory()
	token := s.tokenOf(t, who)
	session, _ := claimsOf(t, token)["sid"].(string)
	spy := follow(t, s.judge, s.mustOpen(t, s.ticket(t, "/tickets", token, page)), who)
	for _, payload := range []string{`{"tenant":"acme","subject":"bob"}`, `{"tenant":"acme.eu","session":"` + session + `"}`} {
		if answer := s.invoke(t, "iops-dashboard-revoke", payload); answer != `{"connections":0}` {
			s.judge.accuse("the revocation %s ends %s", payload, answer)
		}
	}
	if answer := s.invoke(t, "iops-dashboard-revoke", `{"tenant":"acme","session":"`+session+`"}`); answer != `{"connections":1}` {
		t.Errorf("the revocation ends %s", answer)
	}
	spy.waitForEnd(t)
	if rows := s.rows(t, "session#"+ours+"#"+session); len(rows) > 0 {
		s.judge.accuse("rows of a session that has ended: %q", rows)
	}
}

// attackByHTTP asks the HTTP API for what is theirs, and goes on where somebody of theirs has left off.
func (s *soak) attackByHTTP(t *testing.T) {
	bob := person{name: "bob by HTTP", tenant: theirs}
	_, tag := s.get(t, bob, s.tokenOf(t, person{name: "bob", tenant: theirs}), "/metrics?entity_type=student", nil)
	who := s.mallory()
	token := s.tokenOf(t, who)
	cursor := func(position string) string {
		return base64.RawURLEncoding.EncodeToString([]byte("123456789" + position))
	}
	for path, want := range map[string]int{
		"/metrics": 200, "/metrics?entity_type=student": 200, "/insights": 200, "/metrics?entity_type=student&tenant=acme.eu": 400,
		"/metrics?entity_type=acme.eu%23student": 400, "/metrics?entity_type=*": 400, "/metrics?entity_type=student&entity_type=acme.eu%23student": 400,
		"/metrics?cursor=" + cursor("student\nA"): 400, "/metrics?cursor=" + cursor("acme.eu#student\notter"): 400, "/insights?cursor=" + cursor("0\ninsight#otter"): 400,
		"/metrics?entity_type=student&where=" + url.QueryEscape(`[{"attribute":"tenant","operator":"eq","value":"acme.eu"}]`): 400,
		"/metrics?entity_type=subject&where=" + url.QueryEscape(`[{"attribute":"region","operator":"eq","value":"otter"}]`):   200,
		"/metrics?entity_type=student&where=" + url.QueryEscape(`[{"attribute":"health_score","operator":"ge","value":50}]`):  200,
		"/metrics?entity_type=student&fields=tenant":                    400,
		"/metrics?entity_type=student&fields=health_score":              200,
		"/insights?since=2020-01-01T00:00:00.000Z&tenant=acme.eu":       400,
		"/entities/student/otter_1?tenant=acme.eu":                      400,
		"/entities/acme.eu%23student/otter_1":                           404,
		"/entities/student/..%2F..%2Facme.eu%23student%230":             404,
		"/entities/" + url.PathEscape("acme.eu#student#0") + "/otter_1": 404,
		"/tickets?tenant=acme.eu":                                       404,
		"/connections/" + url.PathEscape(s.victim(t)):                   404,
	} {
		header := http.Header{"X-Tenant": {theirs}, "Cookie": {"tenant=" + theirs}, "X-Amzn-Oidc-Data": {"acme.eu"}, "If-None-Match": {tag}}
		if status, _ := s.get(t, who, token, path, header); status != want {
			s.judge.accuse("GET %s is answered %d, want %d", path, status, want)
		}
	}
	for n := range 8 {
		if status, _ := s.get(t, who, token, fmt.Sprint("/entities/student/", marks[theirs], "_", n), nil); status != http.StatusNotFound {
			s.judge.accuse("a student of theirs is answered %d", status)
		}
	}
	for n := range 4 {
		s.get(t, who, token, fmt.Sprint("/entities/tutor/roamer_", n), nil) // ours, or a removal
	}
	limited := s.mallory()
	limited.types = []string{"tutor"}
	token = s.tokenOf(t, limited)
	for path, want := range map[string]int{
		"/metrics": 200, "/metrics?entity_type=tutor": 200, "/metrics?entity_type=student": 403, "/insights": 403, "/entities/student/" + marks[ours] + "_1": 403,
	} {
		if status, _ := s.get(t, limited, token, path, nil); status != want {
			s.judge.accuse("GET %s of a user of tutors is answered %d, want %d", path, status, want)
		}
	}
}

// get asks the HTTP API as somebody, and has the answer judged.
func (s *soak) get(t *testing.T, who person, token, path string, header http.Header) (status int, tag string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.env["API_URL"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Origin", page)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	who.name += " by GET " + path
	s.judge.raw(who, body)
	if response.StatusCode == http.StatusOK {
		if _, err := s.judge.frame(who, body); err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	return response.StatusCode, response.Header.Get("ETag")
}

// victim is the id of a connection of theirs, which an attacker cannot know.
func (s *soak) victim(t *testing.T) string {
	t.Helper()
	items := s.items(t, "view#"+theirs+"#")
	if len(items) == 0 {
		s.judge.accuse("none of theirs is connected any more")
		return "L0SM9cOFvHcCIhw="
	}
	return textOf(items[s.rng.IntN(len(items))]["sk"])
}
