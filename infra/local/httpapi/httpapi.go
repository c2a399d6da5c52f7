// Package httpapi is an AWS API Gateway HTTP API on one machine.
//
// An API is an http.Handler. It runs a Lambda function for each route, with the event of payload format 2.0, after
// it has checked the caller's token, where it wants one: signed with RS256 or ES256 by a key of the issuer's, by
// that issuer, for this audience, and valid now. The claims are in the event's requestContext.authorizer.jwt, each as
// text, lists as [a b]. It answers
//
//	400 {"message":"Bad Request"}              a query string with a % that no two hexadecimal digits follow
//	401 {"message":"Unauthorized"}             no token, or one that is not valid
//	404 {"message":"Not Found"}                no such route
//	413 {"message":"Request Entity Too Large"} a body above 6 MB, which no function takes
//	500 {"message":"Internal Server Error"}    a function that fails, or returns no response; no key can be had
//	503 {"message":"Service Unavailable"}      a function that takes longer than 30 seconds
//
// by itself, as well as what browsers ask before a request to another origin (CORS), without a token.
//
// A path is decoded before a route is sought, as on AWS: an encoded slash parts the path like any other. A segment in
// braces takes any text that is not empty, and the last one, if it is greedy as {id+}, all that is left of the path. Of
// the routes that match, one that is not greedy is taken first; among the
// others that with words where others have braces, from left to right. (AWS says that the most specific one is.)
//
// A query is parted at & alone, and a semicolon is a letter like others. AWS passes rawQueryString as it came; of its
// REST APIs it says that a semicolon splits the data, of HTTP APIs nothing, and of bad escapes nothing either: a client
// should encode both. Here neither is lost silently, for a function that never sees a filter shows everything.
//
// Not imitated: TLS and custom domains, stages but $default, the routes $default and ANY, scopes, other authorizers, throttling, access logs. AWS verifies RSA signatures only, and keeps keys for two hours; here a key
// that is not known is asked for at once. AWS is said to cut a path at an encoded question mark; here it stays.
//
// Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html,
// http-api-develop-routes.html, http-api-jwt-authorizer.html, http-api-cors.html and api-gateway-known-issues.html; for how paths are decoded
// https://github.com/aws/aws-lambda-dotnet/pull/1901 and https://github.com/middleapi/standard-server/pull/93.
package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/infra/local/account"
)

const (
	// timeout is the most that an integration may take:
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
	timeout = 30 * time.Second
	maxBody = 6 << 20

	apiID = "local00001"
)

// Invoker runs a Lambda function synchronously; see gateway.Invoker, which is the same.
type Invoker interface {
	Invoke(ctx context.Context, function string, payload []byte) (response []byte, functionError string, err error)
}

// Config describes one API. Only Routes has no usable zero value.
type Config struct {
	Region string
	Routes map[string]string // method and path, as "GET /entities/{type}/{id+}", to function name
	// Origins are those of the pages that may call, as browsers write them. Headers, in lower case, are what they
	// may send, Expose what they may read, and MaxAge is for how long they may remember the first.
	Origins []string
	Headers []string
	Expose  []string
	MaxAge  time.Duration
	// Issuer of the tokens, below which /.well-known/openid-configuration is; empty: no token is wanted.
	Issuer   string
	Audience string
	// Logger gets a line for each failed invocation; never a payload, a query, a header or a token. Defaults to
	// silence.
	Logger *slog.Logger
}

// API is one HTTP API. It may be used concurrently.
type API struct {
	config  Config
	routes  []route // the most specific one first
	invoker Invoker
	keys    *keys
}

// New returns an API that runs its functions with invoker.
func New(config Config, invoker Invoker) *API {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &API{config: config, routes: newRoutes(config.Routes), invoker: invoker, keys: newKeys(config.Issuer)}
}

// ServeHTTP serves the routes, and CORS.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.cors(w, r) {
		return
	}
	route, parameters, ok := a.route(r.Method, r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	var claims map[string]string
	if a.config.Issuer != "" {
		var err error
		claims, err = a.verify(r.Context(), r.Header.Get("Authorization"))
		switch {
		case errors.Is(err, errNoKeys):
			a.config.Logger.WarnContext(r.Context(), "httpapi: no keys", "err", err)
			refuse(w, http.StatusInternalServerError, "Internal Server Error")
			return
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
	}
	query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "Bad Request")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	a.integrate(w, r, route, newEvent(a.config.Region, r, route.key, parameters, query, body, claims))
}

// cors answers a browser that asks whether it may ask, and lets it read other answers.
func (a *API) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin != "" && slices.Contains(a.config.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		if len(a.config.Expose) > 0 {
			h.Set("Access-Control-Expose-Headers", strings.Join(a.config.Expose, ","))
		}
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if h.Get("Access-Control-Allow-Origin") != "" {
		var methods []string
		for _, route := range a.routes {
			methods = append(methods, route.method)
		}
		slices.Sort(methods)
		h.Set("Access-Control-Allow-Methods", strings.Join(slices.Compact(methods), ","))
		h.Set("Access-Control-Allow-Headers", strings.Join(a.config.Headers, ","))
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(a.config.MaxAge.Seconds())))
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// integrate runs the function of a route and passes its answer on.
func (a *API) integrate(w http.ResponseWriter, r *http.Request, to route, ev event) {
	payload, err := json.Marshal(ev)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	// As on AWS, the function runs on when the client goes.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeout)
	defer cancel()
	began := time.Now()
	reply, functionError, err := a.invoker.Invoke(ctx, to.function, payload)
	if err == nil && functionError != "" {
		err = fmt.Errorf("the function failed: %s", functionError)
	}
	var answer response
	if err == nil {
		answer, err = readResponse(reply)
	}
	if err != nil {
		a.config.Logger.WarnContext(r.Context(), "httpapi: integration failed", "route", to.key, "function", to.function, "err", err,
			"duration_ms", time.Since(began).Milliseconds())
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
			return
		}
		refuse(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	answer.write(w)
}

// response is what a function returns.
type response struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`

	body []byte
}

// readResponse reads a response. A function that returns other JSON means it as the body of a 200.
func readResponse(reply []byte) (response, error) {
	if !json.Valid(reply) {
		return response{}, errors.New("the function returned no JSON")
	}
	var answer response
	if err := json.Unmarshal(reply, &answer); err != nil || answer.StatusCode == 0 {
		return response{StatusCode: http.StatusOK, Headers: map[string]string{"Content-Type": "application/json"}, body: reply}, nil
	}
	answer.body = []byte(answer.Body)
	if answer.IsBase64Encoded {
		var err error
		if answer.body, err = base64.StdEncoding.DecodeString(answer.Body); err != nil {
			return response{}, errors.New("the function returned a body that is not base64")
		}
	}
	if answer.StatusCode < 200 || answer.StatusCode > 599 {
		return response{}, errors.New("the function returned a status that there is not")
	}
	return answer, nil
}

func (a response) write(w http.ResponseWriter) {
	for name, value := range a.Headers {
		// What the API says of CORS stands.
		switch name := strings.ToLower(name); {
		case strings.HasPrefix(name, "access-control-"):
		case name == "vary":
			w.Header().Add(name, value)
		default:
			w.Header().Set(name, value)
		}
	}
	for _, cookie := range a.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	if w.Header().Get("Content-Type") == "" && a.StatusCode != http.StatusNotModified && a.StatusCode != http.StatusNoContent {
		w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	}
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(a.body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// event is of payload format 2.0. What does not apply is absent.
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	Authorizer   *authorizer `json:"authorizer,omitempty"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type authorizer struct {
	JWT jwtContext `json:"jwt"`
}

type jwtContext struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"` // null: the route wants none
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func newEvent(region string, r *http.Request, route string, parameters map[string]string, query url.Values, body []byte, claims map[string]string) event {
	now := time.Now()
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr // not a TCP listener
	}
	ev := event{
		Version: "2.0", RouteKey: route, RawPath: r.URL.Path, RawQueryString: r.URL.RawQuery, PathParameters: parameters,
		Headers: map[string]string{"host": r.Host},
		RequestContext: requestContext{
			AccountID: account.ID, APIID: apiID, DomainName: apiID + ".execute-api." + region + ".amazonaws.com", DomainPrefix: apiID,
			HTTP:      httpContext{Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: ip, UserAgent: r.UserAgent()},
			RequestID: newID(), RouteKey: route, Stage: "$default",
			Time: now.UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
		},
		Body: string(body),
	}
	for name, values := range r.Header {
		if name == "Cookie" {
			for _, line := range values {
				ev.Cookies = append(ev.Cookies, strings.Split(line, "; ")...)
			}
			continue
		}
		ev.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if len(query) > 0 {
		ev.QueryStringParameters = map[string]string{}
		for name, values := range query {
			ev.QueryStringParameters[name] = strings.Join(values, ",")
		}
	}
	if claims != nil {
		ev.RequestContext.Authorizer = &authorizer{jwtContext{Claims: claims}}
	}
	if !utf8.Valid(body) {
		ev.Body, ev.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return ev
}
