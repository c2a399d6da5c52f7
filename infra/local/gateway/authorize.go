package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Authorizer is a Lambda REQUEST authorizer on $connect.
type Authorizer struct {
	// Function decides. Empty: there is no authorizer.
	Function string
	// Identity are the sources of which each must be there and not empty, or the function is not asked:
	// "route.request.header.Name" or "route.request.querystring.name". Defaults to none.
	Identity []string
}

var identitySource = regexp.MustCompile(`^route\.request\.(header|querystring)\.(.+)$`)

// maxAuthorizerResult is the most that an authorizer may return, in bytes:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const maxAuthorizerResult = 8 << 10

// authorizerEvent is what an authorizer gets:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
type authorizerEvent struct {
	Type                            string              `json:"type"`
	MethodARN                       string              `json:"methodArn"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	StageVariables                  map[string]string   `json:"stageVariables"`
	RequestContext                  requestContext      `json:"requestContext"`
}

// authorizerResult is what an authorizer returns.
type authorizerResult struct {
	PrincipalID    string `json:"principalId"`
	PolicyDocument *struct {
		Version   string
		Statement list[statement]
	} `json:"policyDocument"`
	Context map[string]any `json:"context"`
}

type statement struct {
	Action, Resource list[string]
	Effect           string
}

// list is a JSON array, or one value in the place of an array of one.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(document []byte) error {
	if document[0] == '[' {
		return json.Unmarshal(document, (*[]T)(l))
	}
	var one T
	err := json.Unmarshal(document, &one)
	*l = list[T]{one}
	return err
}

// authorize asks the authorizer, if there is one, and answers the upgrade request unless the client may connect. What it
// says of the client is kept.
func (g *Gateway) authorize(w http.ResponseWriter, r *http.Request, c *connection) bool {
	function := g.cfg.Authorizer.Function
	if function == "" {
		return true
	}
	ev := g.authorizerEvent(c, r)
	if !identified(g.cfg.Authorizer.Identity, ev) {
		refuse(w, http.StatusUnauthorized, "UnauthorizedException", "Unauthorized")
		return false
	}
	began := time.Now()
	said, err := g.ask(r, function, ev)
	log := g.cfg.Logger.With(logID(c.id), "function", function, "duration_ms", time.Since(began).Milliseconds())
	switch {
	case errors.Is(err, errUnauthorized):
		log.InfoContext(r.Context(), "gateway: connection not authorized", "status", http.StatusUnauthorized)
		refuse(w, http.StatusUnauthorized, "UnauthorizedException", "Unauthorized")
		return false
	case errors.Is(err, errForbidden):
		log.InfoContext(r.Context(), "gateway: connection not authorized", "status", http.StatusForbidden)
		refuse(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
		return false
	case err != nil:
		log.WarnContext(r.Context(), "gateway: authorizer failed", "err", err)
		refuse(w, http.StatusInternalServerError, "AuthorizerFailureException", "Internal server error")
		return false
	}
	said["integrationLatency"] = time.Since(began).Milliseconds()
	c.client.authorizer = said
	return true
}

func (g *Gateway) authorizerEvent(c *connection, r *http.Request) authorizerEvent {
	connect := g.connectEvent(c, r)
	headers := maps.Clone(connect.MultiValueHeaders)
	headers["Connection"] = []string{"upgrade"}
	headers["Upgrade"] = []string{"websocket"}
	headers["content-length"] = []string{"0"}
	ev := authorizerEvent{
		Type: "REQUEST", MethodARN: g.connectARN(),
		Headers: lastValues(headers), MultiValueHeaders: headers,
		QueryStringParameters: map[string]string{}, MultiValueQueryStringParameters: map[string][]string{},
		StageVariables: map[string]string{}, RequestContext: connect.RequestContext,
	}
	maps.Copy(ev.QueryStringParameters, connect.QueryStringParameters)
	maps.Copy(ev.MultiValueQueryStringParameters, connect.MultiValueQueryStringParameters)
	maps.Copy(ev.StageVariables, g.cfg.StageVariables)
	return ev
}

func (g *Gateway) connectARN() string {
	return "arn:aws:execute-api:" + g.cfg.Region + ":" + g.cfg.AccountID + ":" + g.cfg.APIID + "/" + g.cfg.Stage + "/" + routeConnect
}

// identified reports whether every source is there and not empty.
func identified(sources []string, ev authorizerEvent) bool {
	for _, source := range sources {
		parts := identitySource.FindStringSubmatch(source)
		if parts[1] == "querystring" {
			if ev.QueryStringParameters[parts[2]] == "" {
				return false
			}
			continue
		}
		found := false
		for name, value := range ev.Headers {
			found = found || strings.EqualFold(name, parts[2]) && value != ""
		}
		if !found {
			return false
		}
	}
	return true
}

// How an authorizer refuses.
var (
	errUnauthorized = errors.New("unauthorized")
	errForbidden    = errors.New("forbidden")
)

// ask runs the authorizer and returns what it says of a client that may connect.
func (g *Gateway) ask(r *http.Request, function string, ev authorizerEvent) (map[string]any, error) {
	reply, err := g.invoke(g.life, function, ev)
	if errors.Is(err, errFailed) {
		var failure struct {
			ErrorMessage string `json:"errorMessage"`
		}
		if json.Unmarshal(reply, &failure) == nil && failure.ErrorMessage == "Unauthorized" {
			return nil, errUnauthorized
		}
	}
	if err != nil {
		return nil, err
	}
	var result authorizerResult
	if len(reply) > maxAuthorizerResult || json.Unmarshal(reply, &result) != nil || result.PolicyDocument == nil || result.PrincipalID == "" {
		return nil, errMalformed
	}
	said := map[string]any{"principalId": result.PrincipalID}
	for name, value := range result.Context {
		switch value.(type) {
		case string, bool, float64:
			said[name] = fmt.Sprint(value)
		default: // an object or a list
			return nil, errMalformed
		}
	}
	if !allows(result.PolicyDocument.Statement, ev.MethodARN) {
		return nil, errForbidden
	}
	return said, nil
}

// allows judges a policy: what it does not allow is denied, and what it denies, no other statement allows.
func allows(statements []statement, resource string) bool {
	allowed := false
	for _, s := range statements {
		if !matches(s.Action, "execute-api:Invoke") || !matches(s.Resource, resource) {
			continue
		}
		switch s.Effect {
		case "Allow":
			allowed = true
		case "Deny":
			return false
		}
	}
	return allowed
}

// matches reports whether one of the patterns, in which * is any text and ? any character, is for the text.
func matches(patterns []string, text string) bool {
	for _, pattern := range patterns {
		expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		if regexp.MustCompile("^(?s:" + expression + ")$").MatchString(text) {
			return true
		}
	}
	return false
}
