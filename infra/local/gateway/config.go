package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/iops-dashboard/live/infra/local/account"
)

// Config describes one WebSocket API. Only Routes has no usable zero value.
type Config struct {
	// APIID is the API's id in events and in the domain name. Defaults to "local00000".
	APIID string
	// Stage is the first and only segment of the client's URL. Defaults to "prod".
	Stage string
	// Region is part of the domain name. Defaults to "us-east-1".
	Region string
	// AccountID owns the API. Proxy events do not carry it; the method ARN of an authorizer does. Defaults to [account.ID].
	AccountID string
	// DomainName is requestContext.domainName. It is not where this gateway listens: a function that calls back must be
	// told the endpoint. Defaults to "{APIID}.execute-api.{Region}.amazonaws.com".
	DomainName string
	// Routes maps route keys ("$connect", "$disconnect", "$default", custom ones) to function names.
	Routes map[string]string
	// Authorizer decides who connects. Defaults to letting everybody in.
	Authorizer Authorizer
	// RouteSelection picks the route key out of a message: "$request.body." and a path of member names, bare or as
	// "${…}". Defaults to "$request.body.action".
	RouteSelection string
	// StageVariables appear in CONNECT, MESSAGE and DISCONNECT events when there are some. Defaults to none.
	StageVariables map[string]string
	// WantSignature refuses management requests that nobody has signed, as AWS does. Who signed, and whether the
	// signature is right, is not looked at. Defaults to taking all.
	WantSignature bool
	// Limits are the quotas. Defaults to AWS's.
	Limits Limits
	// Assumed holds what AWS does not document. Defaults to what is believed.
	Assumed Assumed
	// Disconnect says what happens to $disconnect events. Defaults to delivering them at once.
	Disconnect Disconnect
	// Intercept, if set, wraps the management API, and nothing else: a test can hold, fail or observe a POST with it.
	// Defaults to nothing.
	Intercept func(http.Handler) http.Handler
	// Logger gets one line for each connection's outcome and for each failed invocation; never a payload, a query string,
	// a header or a connection id, but the start of its hash. Defaults to silence.
	Logger *slog.Logger
}

// Limits are the quotas of an API. A zero takes the default. Sizes are bytes; they and the rates are AWS's unless said otherwise:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
type Limits struct {
	// MaxFrame is the largest frame a client may send; a larger one closes with 1009. Defaults to 32 KiB.
	MaxFrame int
	// MaxMessage is the largest message, all frames together, a client may send; else 1009. Defaults to 128 KiB.
	MaxMessage int
	// MaxPost is the largest body of a POST; a larger one is 413. Defaults to 131,072.
	MaxPost int
	// MaxURL is the longest request target of an upgrade; a longer one is 414. Defaults to 4,096.
	MaxURL int
	// Idle is how long a connection may be without a message in either direction. Negative: for ever. Defaults to 10 minutes.
	Idle time.Duration
	// Lifetime is how long a connection may be open. Negative: for ever. Defaults to 2 hours.
	Lifetime time.Duration
	// IntegrationTimeout bounds each function call. Defaults to 29 seconds.
	IntegrationTimeout time.Duration
	// ConnectsPerSecond and ConnectBurst are the bucket of new connections. Negative rate: no limit. Default to 500 and 500.
	ConnectsPerSecond, ConnectBurst int
	// RequestsPerSecond and RequestBurst are the one bucket that client messages and management calls share. Negative
	// rate: no limit. Default to 10,000 and 5,000.
	RequestsPerSecond, RequestBurst int
	// SendFrames and SendBytes are what a reader may have outstanding before a POST to it is 429. AWS has such a buffer
	// but does not say its size. Default to 128 and 1 MiB.
	SendFrames, SendBytes int
	// MessagesInFlight is how many messages of one connection may be in functions at once; one more gets the throttled
	// frame. Ours, so that memory is bounded. Defaults to 128.
	MessagesInFlight int
	// CloseWait is how long a closing connection may take to accept its last frames and to answer the close frame before
	// the socket is cut. Ours. The wait for the client's answer is never longer than 5 seconds. Defaults to 5 seconds.
	CloseWait time.Duration
	// SocketBuffer is the kernel's send buffer of each TCP connection: a small one makes a slow reader show early.
	// Ours. Defaults to the kernel's choice.
	SocketBuffer int
}

// Assumed holds behaviour of AWS for which there is no public source. The zero value is what we believe; production
// code must work with any setting.
type Assumed struct {
	// PingKeepsAlive: does a client's ping count as activity? Defaults to no, the safe assumption.
	PingKeepsAlive bool
	// LifetimeCode and LifetimeReason close a connection at Limits.Lifetime. Default to 1001 and "Going away".
	LifetimeCode   int
	LifetimeReason string
	// LostCode and LostReason are in the $disconnect event of a client that went without a close frame. Default to 1006 and "".
	LostCode   int
	LostReason string
	// ConnectTimeoutStatus answers the upgrade when $connect took too long. Defaults to 504.
	ConnectTimeoutStatus int
	// ConnectMalformedStatus answers the upgrade when $connect did not return a proxy response. Defaults to 502.
	ConnectMalformedStatus int
	// ConnectUnreachableStatus answers the upgrade when $connect could not be invoked: throttled or unknown. Defaults to 500.
	ConnectUnreachableStatus int
	// RejectBody: do the body and headers of a rejecting $connect reach the client? Defaults to no.
	RejectBody bool
	// ThrottledMessage is the "message" of the frame that answers a throttled client message. Defaults to "Too Many Requests".
	ThrottledMessage string
	// PushFrame splits a message to the client into frames of at most so many bytes. Defaults to 0: one frame a message.
	PushFrame int
}

// Disconnect says what happens to $disconnect, which AWS delivers by best effort only.
type Disconnect struct {
	// Drop: the event never comes.
	Drop bool
	// Delay is how long after the socket closed the event comes. Close cuts it short.
	Delay time.Duration
}

func (c Config) withDefaults() Config {
	def(&c.APIID, "local00000")
	def(&c.Stage, "prod")
	def(&c.Region, "us-east-1")
	def(&c.AccountID, account.ID)
	def(&c.DomainName, c.APIID+".execute-api."+c.Region+".amazonaws.com")
	def(&c.RouteSelection, "$request.body.action")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	l := &c.Limits
	def(&l.MaxFrame, 32<<10)
	def(&l.MaxMessage, 128<<10)
	def(&l.MaxPost, 128<<10)
	def(&l.MaxURL, 4096)
	def(&l.Idle, 10*time.Minute)
	def(&l.Lifetime, 2*time.Hour)
	def(&l.IntegrationTimeout, 29*time.Second)
	def(&l.ConnectsPerSecond, 500)
	def(&l.ConnectBurst, 500)
	def(&l.RequestsPerSecond, 10_000)
	def(&l.RequestBurst, 5_000)
	def(&l.SendFrames, 128)
	def(&l.SendBytes, 1<<20)
	def(&l.MessagesInFlight, 128)
	def(&l.CloseWait, 5*time.Second)

	a := &c.Assumed
	def(&a.LifetimeCode, causeGoingAway.code)
	def(&a.LifetimeReason, causeGoingAway.reason)
	def(&a.LostCode, 1006)
	def(&a.ConnectTimeoutStatus, http.StatusGatewayTimeout)
	def(&a.ConnectMalformedStatus, http.StatusBadGateway)
	def(&a.ConnectUnreachableStatus, http.StatusInternalServerError)
	def(&a.ThrottledMessage, "Too Many Requests")
	return c
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

var stageName = regexp.MustCompile(`^(\$default|[A-Za-z0-9_-]+)$`)

// validate reports every fault of a Config that has its defaults.
func (c Config) validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("gateway: "+format, args...))
		}
	}
	check(stageName.MatchString(c.Stage), "Stage %q is not a stage name", c.Stage)
	for key, function := range c.Routes {
		check(key != "", "Routes has an empty route key")
		check(function != "", "route %q has no function", key)
	}
	if _, err := parseSelection(c.RouteSelection); err != nil {
		faults = append(faults, err)
	}
	for _, source := range c.Authorizer.Identity {
		check(c.Authorizer.Function != "" && identitySource.MatchString(source),
			"Authorizer.Identity %q is not route.request.header.Name or route.request.querystring.name, or there is no Function", source)
	}
	l := c.Limits
	for _, size := range []struct {
		name  string
		value int
	}{
		{"MaxFrame", l.MaxFrame}, {"MaxMessage", l.MaxMessage}, {"MaxPost", l.MaxPost}, {"MaxURL", l.MaxURL},
		{"ConnectBurst", l.ConnectBurst}, {"RequestBurst", l.RequestBurst}, {"SendFrames", l.SendFrames},
		{"SendBytes", l.SendBytes}, {"MessagesInFlight", l.MessagesInFlight},
	} {
		check(size.value > 0, "Limits.%s is %d, must be positive", size.name, size.value)
	}
	check(l.IntegrationTimeout > 0, "Limits.IntegrationTimeout is %v, must be positive", l.IntegrationTimeout)
	check(l.CloseWait > 0, "Limits.CloseWait is %v, must be positive", l.CloseWait)
	check(l.SocketBuffer >= 0, "Limits.SocketBuffer is %d, must not be negative", l.SocketBuffer)
	check(l.SendBytes >= l.MaxPost, "Limits.SendBytes %d is less than MaxPost %d: the largest post could never be sent", l.SendBytes, l.MaxPost)
	check(c.Assumed.PushFrame >= 0, "Assumed.PushFrame is %d, must not be negative", c.Assumed.PushFrame)
	check(c.Disconnect.Delay >= 0, "Disconnect.Delay is %v, must not be negative", c.Disconnect.Delay)
	return errors.Join(faults...)
}
