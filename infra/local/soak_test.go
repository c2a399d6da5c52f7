package local_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

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
