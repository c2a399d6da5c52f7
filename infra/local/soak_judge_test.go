package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
)

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
