package local_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/local/issuer"
	"github.com/iops-dashboard/live/infra/topology"
)

var (
	soakTime = flag.Duration("soak", 5*time.Second, "how long the soak of two tenants goes on")
	soakSeed = flag.Uint64("soak-seed", 0, "what the soak does; 0 for something else each time")
)

// The tenants of the soak: the name of the attackers' is the beginning of the other's, so that no prefix of a key is
// enough to keep them apart.
const (
	ours, theirs = "acme", "acme.eu"
	nobodys      = "nobody" // a row whose tenant is no tenant
)

// marks are in the name, and in some attribute, of every row that does not change hands. They look the same in every
// encoding that a frame may have.
var marks = map[string]string{ours: "zebra", theirs: "otter", nobodys: "badger"}

// TestTenantsStayApart has users of one tenant attack another on the whole system, in every way that is known, while
// rows of both are written and change hands. Everything that anybody is sent is judged. In the end everybody shows
// what is theirs, all of it, and nothing else.
func TestTenantsStayApart(t *testing.T) {
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat it: -soak-seed=%d", seed)
	system := withBriefTickets(topology.New(topology.Options{Auth: topology.AuthTicket}))
	stack := start(t, local.Options{Topology: system, Origins: []string{page, otherPage}})
	s := newSoak(t, seed, stack)

	attacks := s.attacks()
	names := slices.Sorted(maps.Keys(attacks))
	deadline, rounds := time.Now().Add(*soakTime), 0
	for ; rounds == 0 || time.Now().Before(deadline); rounds++ {
		s.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			for range 1 + s.rng.IntN(2) {
				s.write(t)
			}
			attacks[name](t)
			if s.judge.report(t) {
				t.Fatalf("it came to this by %s", name)
			}
		}
	}

	s.wantAllShown(t)
	if s.judge.report(t) {
		t.Fatal("it came to this in the end")
	}
	for _, tenant := range []string{ours, theirs} {
		if n := s.judge.updates[tenant]; n < 10 {
			t.Errorf("only %d updates were shown to %s: nothing is proven", n, tenant)
		}
	}
	t.Logf("%d rounds of %d attacks and %d writes, %d frames judged: %d and %d updates", rounds, len(names), s.writes, s.judge.frames,
		s.judge.updates[ours], s.judge.updates[theirs])
	for name, log := range readLogs(t, stack) {
		if strings.Contains(log, "another tenant") || strings.Contains(log, "CrossTenant") {
			t.Errorf("%s tells of a crossing", name)
		}
	}

	s.plant(t)
	if s.judge.report(t) {
		t.Error("it came to this by the row in a wrong place")
	}
	stack.Close()
	if n := crossings(t, readLogs(t, stack)[fanoutQueue+".log"]); n < 1 {
		t.Errorf("the metric CrossTenant is %d", n)
	}
}

// crossings sums up the metric in a log.
func crossings(t *testing.T, log string) (n int) {
	t.Helper()
	for line := range strings.Lines(log) {
		var document struct{ CrossTenant int }
		if strings.Contains(line, `"CrossTenant":`) {
			if err := json.Unmarshal([]byte(line), &document); err != nil {
				t.Fatal(err)
			}
			n += document.CrossTenant
		}
	}
	return n
}

// soak is two tenants and what goes on between them. One goroutine writes and attacks, so that a seed tells all.
type soak struct {
	*visitors
	rng   *rand.Rand
	judge *judge
	spies []*spy

	owner  map[string]string // of each row that is there, by type/id
	writes int
	names  int // of attackers

	evil    *issuer.Issuer // signs tokens that nobody should believe
	forger  *ecdsa.PrivateKey
	used    []string // tickets of ours
	inside  *spy     // the attacker that is connected
	rawJWKS []byte
}

// newSoak lets in who has a right to be there.
func newSoak(t *testing.T, seed uint64, stack *local.Stack) *soak {
	t.Helper()
	s := &soak{
		visitors: &visitors{clients: newClients(stack.Env())}, rng: rand.New(rand.NewPCG(seed, 0)), judge: newJudge(), owner: map[string]string{},
	}
	var err error
	if s.evil, err = issuer.New(s.env["ISSUER_URL"], "iops-dashboard", []string{page}); err != nil {
		t.Fatal(err)
	}
	if s.forger, err = ecdsa.GenerateKey(elliptic.P256(), crand.Reader); err != nil {
		t.Fatal(err)
	}
	for _, who := range []person{
		{name: "ada", tenant: ours}, {name: "grace", tenant: ours}, {name: "tom", tenant: ours, types: []string{"tutor"}},
		{name: "bob", tenant: theirs}, {name: "dora", tenant: theirs}, {name: "tim", tenant: theirs, types: []string{"student", "insight"}},
	} {
		s.spies = append(s.spies, s.enter(t, who))
	}
	for _, silent := range []int{1, 4} { // who only listens is shown all, too
		s.spies[silent].silent = true
	}
	for _, spy := range s.spies {
		spy.sync(t, spy.views())
	}
	return s
}

// enter lets a person in by the front door.
func (s *soak) enter(t *testing.T, who person) *spy {
	t.Helper()
	conn, status := s.open(t, "?ticket="+s.ticketFor(t, who), page)
	if conn == nil {
		t.Fatalf("%s is refused with %d", who.name, status)
	}
	return follow(t, s.judge, conn, who)
}

func (s *soak) ticketFor(t *testing.T, who person) string {
	t.Helper()
	return s.ticket(t, "/tickets", s.tokenOf(t, who), page)
}

func (s *soak) tokenOf(t *testing.T, who person) string {
	t.Helper()
	if who.types == nil {
		return s.token(t, who.name, who.tenant)
	}
	return s.token(t, who.name, who.tenant, "entity_types", strings.Join(who.types, " "))
}

// mallory is a user of ours, each time another: one gets few tickets.
func (s *soak) mallory() person {
	s.names++
	return person{name: fmt.Sprint("mallory-", s.names), tenant: ours}
}

var soakTypes = []string{"student", "tutor", "subject", "region"}

// write changes a row of either tenant, or of both: it changes hands.
func (s *soak) write(t *testing.T) {
	t.Helper()
	s.writes++
	tenant := []string{ours, theirs}[s.rng.IntN(2)]
	kind := soakTypes[s.rng.IntN(len(soakTypes))]
	switch n := s.rng.IntN(20); {
	case n < 8:
		s.put(t, kind, fmt.Sprint(marks[tenant], "_", s.rng.IntN(8)), tenant)
	case n < 14: // a row that belongs to whoever had it last, and whose name tells nothing
		s.put(t, kind, fmt.Sprint("roamer_", s.rng.IntN(4)), tenant)
	case n < 16: // names that look like keys of the other
		other := map[string]string{ours: theirs, theirs: ours}[tenant]
		s.put(t, kind, []string{marks[tenant] + "#" + other + "#student#0", other + "#*#" + marks[tenant], marks[tenant] + "/insight#" + other}[s.rng.IntN(3)], tenant)
	case n < 17:
		s.insight(t, tenant)
	case n < 18: // a tenant that is none: it goes to quarantine
		s.update(t, kind, marks[nobodys], row{"tenant": []string{"#", theirs + "#*", "acme#student", ""}[s.rng.IntN(4)], "segment": "healthy"})
	default:
		if len(s.owner) == 0 {
			return
		}
		name := slices.Sorted(maps.Keys(s.owner))[s.rng.IntN(len(s.owner))]
		kind, id, _ := strings.Cut(name, "/")
		s.remove(t, kind, id)
		delete(s.owner, name)
	}
}

// put writes a row whose every attribute tells whose it is.
func (s *soak) put(t *testing.T, kind, id, tenant string) {
	t.Helper()
	side := sideOf(tenant)
	r := row{"tenant": tenant, "health_score": 50*side + s.rng.IntN(50), "sessions_7d": 2*s.rng.IntN(1000) + side}
	if kind == "subject" {
		r["region"] = marks[tenant]
	}
	s.update(t, kind, id, r)
	s.owner[kind+"/"+id] = tenant
}

func (s *soak) insight(t *testing.T, tenant string) {
	t.Helper()
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	entity := fmt.Sprint(marks[tenant], "_", s.rng.IntN(1000))
	s.find(t, row{
		"pk": "insight#" + entity, "sk": at, "entity_id": entity, "entity_type": "student", "prediction_type": "low_health_score", "tenant": tenant,
		"risk_score": 60, "explanation": "seen by a " + marks[tenant], "timestamp": at,
	})
}

// sideOf is which halves of the numbers are a tenant's.
func sideOf(tenant string) int {
	if tenant == theirs {
		return 1
	}
	return 0
}

// wantAllShown waits until everybody shows the rows of their tenant, and no other: what left a tenant was removed.
func (s *soak) wantAllShown(t *testing.T) {
	t.Helper()
	for _, spy := range s.spies {
		var want []string
		for name, tenant := range s.owner {
			kind, _, _ := strings.Cut(name, "/")
			if tenant == spy.tenant && (spy.types == nil || slices.Contains(spy.types, kind)) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		var got []string
		shown := func() bool {
			got = spy.rows()
			return slices.Equal(got, want)
		}
		deadline := time.After(patience)
		for isLate := false; !shown() && !isLate && !s.judge.accused(); {
			if spy.wasLost() { // a busy machine may be slow: then it is told to synchronise
				spy.sync(t, spy.views())
				continue
			}
			select {
			case <-spy.heard:
			case <-deadline:
				isLate = true
			}
		}
		if !shown() {
			t.Errorf("%s of %s shows %d rows, want %d:\n%q\n%q", spy.name, spy.tenant, len(got), len(want), got, want)
		}
	}
}

// plant puts a connection of ours among the audience of theirs, as no code of ours would, and has a row of theirs
// written. The fan-out must keep it back, and count.
func (s *soak) plant(t *testing.T) {
	t.Helper()
	for _, item := range s.items(t, "view#"+ours+"#*#") {
		pk := textOf(item["pk"])
		item["pk"] = attribute("view#" + theirs + strings.TrimPrefix(pk, "view#"+ours))
		if _, err := s.dynamo.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(s.env["CONNECTIONS_TABLE"]), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	s.put(t, "student", marks[theirs]+"_planted", theirs)
	s.put(t, "student", marks[ours]+"_planted", ours)
	s.wantAllShown(t)
}

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

// person is to whom something is sent.
type person struct {
	name, tenant string
	types        []string // that they may see; nil for all
}

// judge looks at everything that anybody is sent.
type judge struct {
	mu       sync.Mutex
	frames   int
	updates  map[string]int // shown to a tenant
	breaches []string
}

func newJudge() *judge { return &judge{updates: map[string]int{}} }

func (j *judge) accuse(format string, values ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.breaches = append(j.breaches, fmt.Sprintf(format, values...))
}

func (j *judge) accused() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.breaches) > 0
}

// report tells of the breaches, and whether there were some.
func (j *judge) report(t *testing.T) bool {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, breach := range j.breaches {
		t.Error(breach)
	}
	return len(j.breaches) > 0
}

// raw looks for what is another's in any bytes.
func (j *judge) raw(to person, text []byte) {
	for tenant, mark := range marks {
		if tenant != to.tenant && bytes.Contains(text, []byte(mark)) {
			j.accuse("%s of %q is sent what is of %s: %.300s", to.name, to.tenant, tenant, text)
		}
	}
}

// frame judges a frame, and returns what it brings.
func (j *judge) frame(to person, text []byte) (f frame, err error) {
	j.raw(to, text)
	if err := json.Unmarshal(text, &f); err != nil {
		return f, err
	}
	for _, list := range []json.RawMessage{f.Data, f.Entities, f.Insights} {
		var updates []update
		if bytes.HasPrefix(list, []byte("{")) { // of one entity, by HTTP
			list = slices.Concat([]byte("["), list, []byte("]"))
		}
		if list != nil {
			if err := json.Unmarshal(list, &updates); err != nil {
				return f, err
			}
		}
		for _, u := range updates {
			j.update(to, u)
		}
		f.updates = append(f.updates, updates...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frames++
	j.updates[to.tenant] += len(f.updates)
	return f, nil
}

// update judges by the numbers, which tell whose a row is even if its name does not, and by what a person may see.
func (j *judge) update(to person, u update) {
	if to.tenant == "" {
		j.accuse("%s, who is let in nowhere, is sent %s", to.name, u.name())
	}
	if to.types != nil && !slices.Contains(to.types, u.kind()) {
		j.accuse("%s may see %v, and is sent %s", to.name, to.types, u.name())
	}
	side := sideOf(to.tenant)
	if h := u.Attributes.Health; h != nil && (*h >= 50) != (side == 1) || u.Attributes.Sessions != nil && *u.Attributes.Sessions%2 != side {
		j.accuse("%s of %q is sent %s as it is of another: %+v", to.name, to.tenant, u.name(), u)
	}
}

// frame is what frames of all types have.
type frame struct {
	answerHead
	Part, Parts              int
	Data, Entities, Insights json.RawMessage
	updates                  []update
}

type update struct {
	Type       string              `json:"entity_type"`
	ID         string              `json:"entity_id"`
	Insight    contracts.InsightID `json:"insight_id"`
	Operation  string
	Version    contracts.Version
	Attributes struct {
		Health   *float64 `json:"health_score"`
		Sessions *int     `json:"sessions_7d"`
	}
}

func (u update) kind() string {
	if u.Type == "" {
		return string(contracts.ViewTypeInsight)
	}
	return u.Type
}

func (u update) name() string { return u.kind() + "/" + u.ID + u.Insight.Pk }

// spy is a browser whose every frame is judged. It keeps the highest version of each row, and forgets none because a
// snapshot has it not: a row that goes must be said to go.
type spy struct {
	person
	silent  bool
	judge   *judge
	conn    *websocket.Conn
	sent    int // commands
	ended   chan struct{}
	answers chan answerHead // that nobody has waited for are dropped
	heard   chan struct{}   // a frame was taken

	mu    sync.Mutex
	shown map[string]update // by name
	lost  bool              // it was told to synchronise
}

// follow listens to a connection, if there is one, as this person.
func follow(t *testing.T, j *judge, conn *websocket.Conn, who person) *spy {
	t.Helper()
	s := &spy{person: who, judge: j, conn: conn, ended: make(chan struct{}), answers: make(chan answerHead, 256), heard: make(chan struct{}, 1), shown: map[string]update{}}
	if conn == nil {
		close(s.ended)
		return s
	}
	go s.listen(who)
	t.Cleanup(s.close)
	return s
}

func (s *spy) listen(who person) {
	defer close(s.ended)
	for {
		_, text, err := s.conn.Read(context.Background())
		if err != nil {
			return
		}
		f, err := s.judge.frame(who, text)
		if err != nil {
			s.judge.accuse("%s is sent what is no frame: %.300s", who.name, text)
			return
		}
		s.take(f)
	}
}

func (s *spy) take(f frame) {
	s.mu.Lock()
	for _, u := range f.updates {
		if was, ok := s.shown[u.name()]; !ok || u.Version.Compare(was.Version) > 0 {
			s.shown[u.name()] = u
		}
	}
	s.lost = s.lost || f.Type == contracts.ResyncFrameV1Type
	s.mu.Unlock()
	select {
	case s.heard <- struct{}{}:
	default:
	}
	switch f.Type {
	case contracts.MetricUpdateFrameV1Type, contracts.InsightCreatedFrameV1Type, contracts.ResyncFrameV1Type:
		return
	}
	if f.Part == f.Parts { // the last of a snapshot, or no snapshot
		select {
		case s.answers <- f.answerHead:
		default:
		}
	}
}

// rows are the names of the entities that it shows.
func (s *spy) rows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, u := range s.shown {
		if u.Operation != string(contracts.UpdateOperationRemove) && u.Type != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *spy) wasLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.lost && !s.silent
	s.lost = s.lost && s.silent
	return lost
}

// views are those that it asks for.
func (s *spy) views() string {
	if s.types == nil {
		return `[{"entity_type":"*"}]`
	}
	return `[{"entity_type":"` + strings.Join(s.types, `"},{"entity_type":"`) + `"}]`
}

// sync asks for what views hold, and returns the end of the answer.
func (s *spy) sync(t *testing.T, views string) answerHead {
	t.Helper()
	if s.silent {
		return answerHead{}
	}
	s.sent++
	return s.say(t, fmt.Sprintf(`{"action":"sync","sync_id":%d,"views":%s}`, s.sent, views))
}

func (s *spy) say(t *testing.T, body string) answerHead {
	t.Helper()
	return s.sayBytes(t, websocket.MessageText, []byte(body))
}

// sayBytes sends a message and waits for an answer, or for the end.
func (s *spy) sayBytes(t *testing.T, kind websocket.MessageType, body []byte) answerHead {
	t.Helper()
	if err := s.conn.Write(t.Context(), kind, body); err != nil {
		return answerHead{} // it was thrown out
	}
	select {
	case head := <-s.answers:
		return head
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("no answer to %.200s", body)
	}
	return answerHead{}
}

// waitFor waits until a row is shown.
func (s *spy) waitFor(t *testing.T, name string) {
	t.Helper()
	eventually(t, name, func() bool { return slices.Contains(s.rows(), name) })
}

func (s *spy) closed() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *spy) waitForEnd(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("the socket of %s is still open", s.name)
	}
}

func (s *spy) close() {
	if s.conn != nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	}
	<-s.ended
}

// The judge must see each thing that it is there for.
func TestJudgeSeesWhatCrosses(t *testing.T) {
	t.Parallel()
	ada, tom := person{name: "ada", tenant: ours}, person{name: "tom", tenant: ours, types: []string{"tutor"}}
	version := `"version":{"epoch":1,"revision":1}`
	for name, tc := range map[string]struct {
		to   person
		text string
		want int
	}{
		"one's own":                {ada, `{"type":"METRIC_UPDATE","data":[{"entity_type":"tutor","entity_id":"zebra_1","attributes":{"health_score":49,"sessions_7d":4},` + version + `}]}`, 0},
		"a removal":                {tom, `{"type":"METRIC_UPDATE","data":[{"entity_type":"tutor","entity_id":"roamer_1","operation":"REMOVE",` + version + `}]}`, 0},
		"a word":                   {ada, `{"type":"SYNCED"}`, 0},
		"a name":                   {ada, `{"type":"METRIC_UPDATE","data":[{"entity_type":"tutor","entity_id":"otter_1","operation":"REMOVE",` + version + `}]}`, 1},
		"an attribute":             {ada, `{"type":"SNAPSHOT","entities":[{"entity_type":"subject","entity_id":"roamer_1","attributes":{"region":"otter"},` + version + `}],"insights":[]}`, 1},
		"a number":                 {ada, `{"type":"SNAPSHOT","entities":[{"entity_type":"tutor","entity_id":"roamer_1","attributes":{"health_score":50},` + version + `}],"insights":[]}`, 1},
		"another number":           {ada, `{"type":"METRIC_UPDATE","data":[{"entity_type":"tutor","entity_id":"roamer_1","attributes":{"sessions_7d":3},` + version + `}]}`, 1},
		"an insight":               {ada, `{"type":"SNAPSHOT","entities":[],"insights":[{"insight_id":{"pk":"insight#x","sk":"t"},"attributes":{"explanation":"an otter"},` + version + `}]}`, 1},
		"another type":             {tom, `{"type":"METRIC_UPDATE","data":[{"entity_type":"student","entity_id":"zebra_1","attributes":{},` + version + `}]}`, 1},
		"an insight, not wanted":   {tom, `{"type":"INSIGHT_CREATED","data":[{"insight_id":{"pk":"insight#x","sk":"t"},"attributes":{},` + version + `}]}`, 1},
		"anything, to nobody":      {person{name: "eve"}, `{"type":"METRIC_UPDATE","data":[{"entity_type":"tutor","entity_id":"roamer_1","attributes":{},` + version + `}]}`, 1},
		"a row of no tenant":       {ada, `{"type":"ERROR","code":"badger"}`, 1},
		"a frame of the gateway's": {ada, `{"message": "Forbidden", "connectionId":"x", "requestId":"otter"}`, 1},
	} {
		j := newJudge()
		if _, err := j.frame(tc.to, []byte(tc.text)); err != nil || len(j.breaches) != tc.want {
			t.Errorf("%s: %q, %v; want %d", name, j.breaches, err, tc.want)
		}
	}
}
