package gatewaytest

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// Service answers like API Gateway, as far as posts and ends go.
type Service struct {
	mu     sync.Mutex
	open   map[string]bool
	frames map[string][][]byte
	fail   map[string]http.HandlerFunc
}

// Answers are API Gateway's: status, type in a header, and a body that a 410 does not have.
var Answers = map[fault.Kind]http.HandlerFunc{
	fault.Gone:      Answer(410, "GoneException", ""),
	fault.Throttled: Answer(429, "LimitExceededException", `{"message":"Limit Exceeded"}`),
	fault.TooLarge:  Answer(413, "PayloadTooLargeException", `{"message":"Payload too large"}`),
	fault.Denied:    Answer(400, "BadRequestException", `{"message":"Invalid connectionId: Jx-TaE0_GjQFvSw="}`),
	fault.Transient: Answer(500, "InternalServerErrorException", `{"message":"Internal server error"}`),
}

// Answer answers with a status, a type in a header, and a body.
func Answer(status int, errorType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if errorType != "" {
			w.Header().Set("x-amzn-ErrorType", errorType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (s *Service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, id, _ := strings.Cut(r.URL.Path, "connections/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	fail := s.fail[id]
	delete(s.fail, id)
	switch {
	case fail != nil:
		s.mu.Unlock()
		fail(w, r)
		return
	case !s.open[id]:
		Answers[fault.Gone](w, r)
	case r.Method == http.MethodDelete:
		s.open[id] = false
		w.WriteHeader(http.StatusNoContent)
	case len(body) > gateway.MaxFrame:
		Answers[fault.TooLarge](w, r)
	default:
		s.frames[id] = append(s.frames[id], body)
	}
	s.mu.Unlock()
}

// NewService returns a service without connections.
func NewService() *Service {
	return &Service{open: map[string]bool{}, frames: map[string][][]byte{}, fail: map[string]http.HandlerFunc{}}
}

// Harness is that of an adapter which posts to the service.
func (s *Service) Harness(g gateway.Gateway) Harness {
	return Harness{
		Gateway: g,
		Open:    func(id string) { s.set(func() { s.open[id] = true }) },
		Close:   func(id string) { s.set(func() { s.open[id] = false }) },
		Fail:    func(id string, kind fault.Kind) { s.set(func() { s.fail[id] = Answers[kind] }) },
		Frames: func(id string) [][]byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.frames[id]
		},
		Hang: func(id string) <-chan struct{} {
			waiting := make(chan struct{}, 1)
			s.set(func() {
				s.fail[id] = func(_ http.ResponseWriter, r *http.Request) {
					waiting <- struct{}{}
					<-r.Context().Done()
				}
			})
			return waiting
		},
	}
}
