package topology

import "strings"

// PagePolicy is the Content-Security-Policy of the dashboard, whoever serves it. The page may connect to its own origin and
// to these.
func PagePolicy(origins []string) string {
	return strings.Join([]string{
		"default-src 'self'", strings.Join(append([]string{"connect-src 'self'"}, origins...), " "), "img-src 'self' data:",
		// Emotion, which MUI styles with, inserts style elements.
		"style-src 'self' 'unsafe-inline'",
		"base-uri 'none'", "frame-ancestors 'none'", "form-action 'none'", "object-src 'none'",
	}, "; ")
}
