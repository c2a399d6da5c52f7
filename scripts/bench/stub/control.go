package stub

import (
	"encoding/json"
	"net/http"
)

// Control is how another process uses the server: POST /reset with [Settings], and POST /report with
// the final revision of each entity, answered by a [Report].
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		var settings Settings
		if !read(w, r, &settings) {
			return
		}
		s.Reset(settings)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var final map[string]int64
		if !read(w, r, &final) {
			return
		}
		_ = json.NewEncoder(w).Encode(s.Report(final))
	})
	return mux
}

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
