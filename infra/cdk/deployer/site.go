package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

const (
	// publishLimit is how long the files of a site may take.
	publishLimit = 30 * time.Minute
	// keepAssets is how long a page that was open when it was replaced finds its parts.
	keepAssets = 7 * 24 * time.Hour
)

// site publishes the dashboard.
func (d *deployer) site(ctx context.Context) error {
	outputs, err := d.need(ctx, "WebSocketURL", "ApiURL", "SiteBucket", "SiteURL")
	if err != nil {
		return err
	}
	if err := d.narrow(ctx, outputs["SiteURL"]); err != nil {
		return err
	}
	tree := d.tree()
	for _, prepare := range []func(context.Context) error{tree.Servers, tree.Dashboard} {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	files, err := pageFiles(os.DirFS(filepath.Join(d.root, "frontend", "dist")))
	if err != nil {
		return err
	}
	config, err := pageConfig(outputs)
	if err != nil {
		return err
	}
	return d.publish(ctx, outputs["SiteBucket"], append(files, config))
}

// narrow lets the page connect to this system's own servers, of which the template did not know when there were none.
func (d *deployer) narrow(ctx context.Context, site string) error {
	connecting, err := d.connecting(ctx)
	if err != nil {
		return err
	}
	to := connecting["connect"]
	if _, header, _ := get(ctx, site+"/"); isNarrow(header.Get("Content-Security-Policy"), to) {
		return nil
	}
	d.say("letting the page connect to %s", to)
	if err := d.synthesise(ctx, connecting); err != nil {
		return err
	}
	return d.cdk(ctx, stackLimit, "deploy", d.settings.Named(setting.SiteStack), "--exclusively", "--app", d.assembly(),
		"--require-approval", "never", "--progress", "events")
}

// isNarrow reports whether a Content-Security-Policy lets a page connect to all of these origins, and to no pattern.
func isNarrow(policy, origins string) bool {
	sources := connectSources(policy)
	return !slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "*") }) &&
		!slices.ContainsFunc(strings.Split(origins, ","), func(o string) bool { return !slices.Contains(sources, o) })
}

// permits reports whether a Content-Security-Policy lets a page connect to an origin.
func permits(policy, origin string) bool {
	return slices.ContainsFunc(connectSources(policy), func(s string) bool {
		scheme, domain, pattern := strings.Cut(s, "*")
		return s == origin || pattern && strings.HasPrefix(origin, scheme) && strings.HasSuffix(origin, domain)
	})
}

// connectSources are what a Content-Security-Policy lets a page connect to.
func connectSources(policy string) []string {
	for directive := range strings.SplitSeq(policy, ";") {
		if words := strings.Fields(directive); len(words) > 0 && words[0] == "connect-src" {
			return words[1:]
		}
	}
	return nil
}

// connecting are the values, with what the page may connect to: the APIs of the system that is deployed, if one is and
// nobody named others.
func (d *deployer) connecting(ctx context.Context) (values, error) {
	if len(d.settings.Connect) > 0 {
		return d.given, nil
	}
	outputs, err := d.outputs(ctx)
	if err != nil || outputs["WebSocketURL"] == "" {
		return d.given, err
	}
	to, err := servers(ctx, outputs, d.settings.Issuer)
	return d.given.with("connect", to), err
}

// servers are the origins that a page talks to. The stack adds who signs people in, but not where an issuer of theirs has
// its tokens, if that is elsewhere.
func servers(ctx context.Context, outputs map[string]string, issuer string) (string, error) {
	to := []string{originOf(outputs["WebSocketURL"]), originOf(outputs["ApiURL"])}
	if issuer != "" {
		tokens, err := tokenEndpoint(ctx, issuer)
		if err != nil {
			return "", err
		}
		if originOf(tokens) != originOf(issuer) {
			to = append(to, originOf(tokens))
		}
	}
	return strings.Join(to, ","), nil
}

// tokenEndpoint asks an OpenID Connect issuer where its tokens are, which may be elsewhere.
func tokenEndpoint(ctx context.Context, issuer string) (string, error) {
	body, _, err := get(ctx, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("the issuer of tokens does not say where they are: %w; is the setting issuer right?", err)
	}
	var discovery struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	if err := json.Unmarshal(body, &discovery); err != nil || originOf(discovery.TokenEndpoint) == "" {
		return "", fmt.Errorf("%s names no token_endpoint in its openid-configuration; is the setting issuer right?", issuer)
	}
	return discovery.TokenEndpoint, nil
}

// client asks what was deployed. A redirection would carry a token or a ticket elsewhere.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// get fetches a small document. The headers are there even if it is refused.
func get(ctx context.Context, address string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", address, response.Status)
	}
	return body, response.Header, err
}

// originOf is the origin of an address, or "" if it has none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// object is a file of the site.
type object struct {
	key, contentType string
	body             []byte
}

// contentTypes are those of what a build has in it. They do not depend on the machine that publishes.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".webp": "image/webp", ".woff2": "font/woff2", ".wasm": "application/wasm",
}

const (
	assets    = "assets/"
	indexPage = "index.html"
)

// pageFiles are the files of a built page. How long each may be kept is said by CloudFront: see infra/cdk/site/cache.js.
func pageFiles(dist fs.FS) ([]object, error) {
	var all []object
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		kind, known := contentTypes[path.Ext(name)]
		if !known {
			return fmt.Errorf("frontend/dist has %s, and nobody knows what kind of file that is: add it to contentTypes", name)
		}
		o := object{key: name, contentType: kind}
		if o.body, err = fs.ReadFile(dist, name); err != nil {
			return err
		}
		all = append(all, o)
		return nil
	})
	if err == nil && !slices.ContainsFunc(all, func(o object) bool { return o.key == indexPage }) {
		err = errors.New("frontend/dist has no index.html: the build of the dashboard is not whole")
	}
	return all, err
}

// pageConfig is what the page learns at run time: see frontend/src/app/config.ts.
func pageConfig(outputs map[string]string) (object, error) {
	type signIn struct {
		Issuer   string `json:"issuer"`
		ClientID string `json:"clientId"`
	}
	config := struct {
		WebSocketURL string  `json:"webSocketUrl"`
		APIURL       string  `json:"apiUrl"`
		SignIn       *signIn `json:"signIn,omitempty"`
	}{WebSocketURL: outputs["WebSocketURL"], APIURL: outputs["ApiURL"]}
	if outputs["TokenIssuer"] != "" {
		config.SignIn = &signIn{outputs["TokenIssuer"], outputs["TokenClientId"]}
	}
	body, err := json.Marshal(config)
	return object{key: "config.json", contentType: contentTypes[".json"], body: body}, err
}

// rank orders what is uploaded: a page finds all its parts at any moment, since it comes last.
func (o object) rank() int {
	switch {
	case strings.HasPrefix(o.key, assets):
		return 0
	case o.key == indexPage:
		return 2
	}
	return 1
}

// publish uploads the files of a page in place of those that are there. If it stops on the way, the page before is still
// whole.
func (d *deployer) publish(ctx context.Context, bucket string, files []object) error {
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	before, err := d.cloud.list(ctx, bucket)
	if err != nil {
		return err
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b object) int { return cmp.Or(a.rank()-b.rank(), strings.Compare(a.key, b.key)) })
	for i, f := range files {
		d.say("%2d of %d  %s", i+1, len(files), f.key)
		if err := d.cloud.put(ctx, bucket, f); err != nil {
			return fmt.Errorf("%s was not uploaded: %w; the page before it is still there, and whole", f.key, err)
		}
	}
	stale := retired(before, files, time.Now())
	if len(stale) > 0 {
		d.say("removing %d assets of pages that were replaced more than %d days ago", len(stale), int(keepAssets.Hours()/24))
	}
	return d.cloud.remove(ctx, bucket, stale)
}

// stored is an object as a listing has it. An empty version is that of a listing without versions.
type stored struct {
	key, version string
	modified     time.Time
}

// retired are the assets that nobody wants any more. All assets of a page are uploaded right before the page itself, as
// often as it is published. So what is older than the page that was in force until now, by more than publishing may take,
// was replaced by it or before; and if that page is old enough, so is whoever has still an older one open.
func retired(before []stored, files []object, now time.Time) []stored {
	page := slices.IndexFunc(before, func(s stored) bool { return s.key == indexPage })
	if page < 0 || now.Sub(before[page].modified) < keepAssets {
		return nil
	}
	began := before[page].modified.Add(-publishLimit)
	var all []stored
	for _, s := range before {
		current := slices.ContainsFunc(files, func(o object) bool { return o.key == s.key })
		if strings.HasPrefix(s.key, assets) && s.modified.Before(began) && !current {
			all = append(all, s)
		}
	}
	return all
}
