package local

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const webSocketURL, apiURL, issuerURL = "ws://127.0.0.1:4321/prod", "http://127.0.0.1:4322", "http://127.0.0.1:4323"

// page serves a built page whose folder has a secret beside it, where everybody may connect.
func page(t *testing.T) *httptest.Server { return pageWith(t, nil) }

func pageWith(t *testing.T, in *signIn) *httptest.Server {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"dist/index.html": "the page", "dist/favicon.svg": "<svg/>", "dist/assets/app-1a2b.js": "code", "secret.txt": "secret",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(dashboard(filepath.Join(root, "dist"), pageConfig{WebSocketURL: webSocketURL, APIURL: apiURL, SignIn: in}))
	t.Cleanup(server.Close)
	return server
}

// get sends the path as it is: a client would clean it.
func get(t *testing.T, server *httptest.Server, path string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestDashboardServesFilesAndElseThePage(t *testing.T) {
	t.Parallel()
	server := page(t)
	const immutable, fresh = "public, max-age=31536000, immutable", "no-cache"
	for path, want := range map[string]struct {
		status      int
		body, cache string
	}{
		"/":                            {200, "the page", fresh},
		"/students/stu_1?tab=2":        {200, "the page", fresh},
		"/favicon.svg":                 {200, "<svg/>", fresh},
		"/assets/app-1a2b.js":          {200, "code", immutable},
		"/assets/app-gone.js":          {404, "404 page not found\n", ""},
		"/assets/":                     {200, "the page", fresh},
		"/assets":                      {200, "the page", fresh},
		"/../secret.txt":               {200, "the page", fresh},
		"/..%2fsecret.txt":             {200, "the page", fresh},
		"/assets/../../secret.txt":     {200, "the page", fresh},
		"/assets/..%2f..%2fsecret.txt": {200, "the page", fresh},
		"/..%5csecret.txt":             {200, "the page", fresh},
		"/a%00b":                       {200, "the page", fresh},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			response, body := get(t, server, path)
			if response.StatusCode != want.status || body != want.body || response.Header.Get("Cache-Control") != want.cache {
				t.Errorf("%d %q with Cache-Control %q, want %+v", response.StatusCode, body, response.Header.Get("Cache-Control"), want)
			}
		})
	}
}

func TestDashboardTellsThePageWhereToConnect(t *testing.T) {
	t.Parallel()
	const open = `{"webSocketUrl":"ws://127.0.0.1:4321/prod","apiUrl":"http://127.0.0.1:4322"`
	response, body := get(t, pageWith(t, &signIn{Issuer: issuerURL, ClientID: "client"}), "/config.json")
	if want := open + `,"signIn":{"issuer":"http://127.0.0.1:4323","clientId":"client"}}` + "\n"; body != want {
		t.Errorf("the configuration is %s, want %s", body, want)
	}
	if _, body := get(t, page(t), "/config.json"); body != open+"}\n" {
		t.Errorf("the configuration is %s where everybody may connect", body)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q: the port of the last run would stay", got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
}

func TestDashboardHeadersLetThePageTalkToItsOwnServersOnly(t *testing.T) {
	t.Parallel()
	servers := "'self' ws://127.0.0.1:4321 http://127.0.0.1:4322"
	policy := contentPolicy(t, page(t), "/")
	if policy["connect-src"] != servers {
		t.Errorf("connect-src is %q where everybody may connect, want %q", policy["connect-src"], servers)
	}
	server := pageWith(t, &signIn{Issuer: issuerURL, ClientID: "client"})
	for _, path := range []string{"/", "/config.json", "/assets/app-1a2b.js", "/assets/app-gone.js"} {
		response, _ := get(t, server, path)
		policy := contentPolicy(t, server, path)
		for name, want := range map[string]string{
			"default-src": "'self'", "connect-src": servers + " http://127.0.0.1:4323", "object-src": "'none'",
			"base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'",
		} {
			if policy[name] != want {
				t.Errorf("%s: %s is %q, want %q", path, name, policy[name], want)
			}
		}
		if script, ok := policy["script-src"]; ok && strings.Contains(script, "unsafe") {
			t.Errorf("%s: script-src is %q", path, script)
		}
		if response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers are %v", path, response.Header)
		}
	}
}

func contentPolicy(t *testing.T, server *httptest.Server, path string) map[string]string {
	t.Helper()
	response, _ := get(t, server, path)
	policy := map[string]string{}
	for _, part := range strings.Split(response.Header.Get("Content-Security-Policy"), "; ") {
		name, sources, _ := strings.Cut(part, " ")
		policy[name] = sources
	}
	return policy
}
