// Package config reads what a deployable needs from its environment, and makes its SDK clients.
//
// Each deployable has one struct; the environment that fills it is written down in
// infra/topology, and the test of this package holds the two together. Only this package and services/cmd
// read the environment. Nothing here knows where it runs: the SDK itself honours
// AWS_ENDPOINT_URL_* and the usual credential chain.
package config

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/caarlos0/env/v11"
)

// Normalizer is the environment of services/cmd/normalizer.
type Normalizer struct {
	// The tables whose streams it is fed. The ARN of a record's stream has the name of one of them.
	MetricsTable       string `env:"METRICS_TABLE,required,notEmpty"`
	InsightsTable      string `env:"INSIGHTS_TABLE,required,notEmpty"`
	StateTable         string `env:"STATE_TABLE,required,notEmpty"`
	TopicARN           string `env:"TOPIC_ARN,required,notEmpty"`
	QuarantineQueueURL string `env:"QUARANTINE_QUEUE_URL,required,notEmpty"`
}

// Session is the environment of services/cmd/connect and services/cmd/disconnect.
type Session struct {
	ConnectionsTable string `env:"CONNECTIONS_TABLE,required,notEmpty"`
	// Auth says where a connection's identity comes from: "ticket" wants it from the authorizer,
	// "open" lets everybody in as tenant "default". There is no default: it must be chosen.
	Auth string `env:"AUTH,required,notEmpty"`
}

// Connect is the environment of services/cmd/connect.
type Connect struct {
	ConnectionsTable string  `env:"CONNECTIONS_TABLE,required,notEmpty"`
	Auth             string  `env:"AUTH,required,notEmpty"`                   // as in Session
	CallbackURL      HTTPURL `env:"WEBSOCKET_API_ENDPOINT,required,notEmpty"` // as in Fanout
	// PerUser is how many connections a user may have: those of one subject, in all its sessions. A browser
	// has one, whatever tabs are open.
	PerUser Limit `env:"CONNECTIONS_PER_USER" envDefault:"10"`
	// PerService is how many a service may have: those by tickets that no page asked for, of one subject.
	PerService Limit `env:"CONNECTIONS_PER_SERVICE" envDefault:"100"`
}

// Limit is how many connections a subject may have. All of them are listed in one item, which is written with each.
type Limit int

// maxLimit bounds that item, by 50 bytes for each, to less than 64 KB.
const maxLimit = 1000

// UnmarshalText refuses what would let nobody in, or any number.
func (l *Limit) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxLimit {
		return fmt.Errorf("%q is not a number from 1 to %d", text, maxLimit)
	}
	*l = Limit(n)
	return nil
}

// Sync is the environment of services/cmd/sync.
type Sync struct {
	ConnectionsTable string  `env:"CONNECTIONS_TABLE,required,notEmpty"`
	StateTable       string  `env:"STATE_TABLE,required,notEmpty"`
	CallbackURL      HTTPURL `env:"WEBSOCKET_API_ENDPOINT,required,notEmpty"` // as in Fanout
	// Lifetime is the longest that the gateway lets a connection be open.
	Lifetime time.Duration `env:"CONNECTION_LIFETIME,required,notEmpty"`
	// ReconnectAfter is how old a connection is when it is told to move. See session.SyncConfig.
	ReconnectAfter time.Duration `env:"RECONNECT_AFTER"`
	// MetricsNamespace is where CloudWatch has the metrics. Those of two systems in one would add up.
	MetricsNamespace MetricsNamespace `env:"METRICS_NAMESPACE,required,notEmpty"`
}

// Tickets is the environment of services/cmd/tickets.
type Tickets struct {
	TicketsTable string `env:"TICKETS_TABLE,required,notEmpty"`
	// Origins are those of the pages that may connect, as https://app.example.com, with commas between.
	Origins []string `env:"ALLOWED_ORIGINS,required,notEmpty"`
	// The claims of a token that hold its tenant, the entity types that it may see, and whether it is a
	// service's. Cognito names its own custom:tenant.
	TenantClaim      string `env:"TENANT_CLAIM" envDefault:"tenant"`
	EntityTypesClaim string `env:"ENTITY_TYPES_CLAIM" envDefault:"entity_types"`
	ServiceClaim     string `env:"SERVICE_CLAIM" envDefault:"service"`
	// Lifetime of a ticket; 30 seconds at most.
	Lifetime time.Duration `env:"TICKET_LIFETIME" envDefault:"30s"`
}

// Authorize is the environment of services/cmd/authorize.
type Authorize struct {
	TicketsTable string   `env:"TICKETS_TABLE,required,notEmpty"`
	Origins      []string `env:"ALLOWED_ORIGINS,required,notEmpty"` // as in Tickets
}

// Revoke is the environment of services/cmd/revoke.
type Revoke struct {
	ConnectionsTable string  `env:"CONNECTIONS_TABLE,required,notEmpty"`
	CallbackURL      HTTPURL `env:"WEBSOCKET_API_ENDPOINT,required,notEmpty"` // as in Fanout
}

// Canary is the environment of services/cmd/canary.
type Canary struct {
	MetricsTable     string           `env:"METRICS_TABLE,required,notEmpty"` // where it writes its row
	TicketsTable     string           `env:"TICKETS_TABLE,required,notEmpty"`
	SocketURL        SocketURL        `env:"WEBSOCKET_URL,required,notEmpty"`     // where clients connect, with the stage
	Tenant           string           `env:"CANARY_TENANT,required,notEmpty"`     // of its own: what it writes is seen by nobody else
	MetricsNamespace MetricsNamespace `env:"METRICS_NAMESPACE,required,notEmpty"` // as in Sync
}

// Query is the environment of services/cmd/query.
type Query struct {
	StateTable       string `env:"STATE_TABLE,required,notEmpty"`
	ConnectionsTable string `env:"CONNECTIONS_TABLE,required,notEmpty"` // where revocations are
	// Auth says who may ask: "ticket" wants a token, which the HTTP API has checked, "open" answers everybody
	// as tenant "default". There is no default: it must be chosen.
	Auth             string           `env:"AUTH,required,notEmpty"`
	TenantClaim      string           `env:"TENANT_CLAIM" envDefault:"tenant"` // as in Tickets
	EntityTypesClaim string           `env:"ENTITY_TYPES_CLAIM" envDefault:"entity_types"`
	MetricsNamespace MetricsNamespace `env:"METRICS_NAMESPACE,required,notEmpty"` // as in Sync
}

// Fanout is the environment of services/cmd/fanout.
type Fanout struct {
	ConnectionsTable string `env:"CONNECTIONS_TABLE,required,notEmpty"`
	QueueURL         string `env:"FANOUT_QUEUE_URL,required,notEmpty"`
	DeadLetterURL    string `env:"FANOUT_DLQ_URL,required,notEmpty"`
	// CallbackURL is the management endpoint of the WebSocket API with its stage, without
	// "/@connections", as https://{api-id}.execute-api.{region}.amazonaws.com/prod.
	CallbackURL HTTPURL `env:"WEBSOCKET_API_ENDPOINT,required,notEmpty"`
	// Visibility is the queue's visibility timeout, within which the worker must have done with a
	// message.
	Visibility time.Duration `env:"FANOUT_VISIBILITY,required,notEmpty"`
	// Buckets are the parts of every audience that the queue is for, as 0,4,8,12.
	Buckets []int `env:"FANOUT_BUCKETS,required,notEmpty"`
	// Rate is this process's share, in posts a second, of the account's quota.
	Rate float64 `env:"FANOUT_RATE,required,notEmpty"`
	// Client posts: "wire", which is fast, or "sdk", which honours HTTPS_PROXY and AWS_CA_BUNDLE.
	Client PostClient `env:"FANOUT_CLIENT" envDefault:"wire"`
	// MetricsAddress is where the worker serves Prometheus, as :9090. Empty: nowhere.
	MetricsAddress   string           `env:"FANOUT_METRICS_ADDRESS"`
	MetricsNamespace MetricsNamespace `env:"METRICS_NAMESPACE,required,notEmpty"` // as in Sync
	// Posters is how many posts are in flight at most. Defaults to 64.
	Posters int `env:"FANOUT_POSTERS" envDefault:"64"`
}

// PostClient is wire or sdk.
type PostClient string

// UnmarshalText refuses everything else.
func (c *PostClient) UnmarshalText(text []byte) error {
	if s := string(text); s != "wire" && s != "sdk" {
		return fmt.Errorf("%q is not wire or sdk", text)
	}
	*c = PostClient(text)
	return nil
}

// MetricsNamespace is a namespace of CloudWatch that we may write to:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
type MetricsNamespace string

var metricsNamespace = regexp.MustCompile(`^[0-9A-Za-z._/#: -]{1,255}$`)

// UnmarshalText refuses everything else: of metrics in it CloudWatch would take none, and not say so.
func (n *MetricsNamespace) UnmarshalText(text []byte) error {
	if !metricsNamespace.Match(text) || strings.HasPrefix(string(text), "AWS/") {
		return fmt.Errorf("%q is not a namespace of CloudWatch", text)
	}
	*n = MetricsNamespace(text)
	return nil
}

// HTTPURL is an absolute address that begins with https, or http on one machine.
type HTTPURL string

// UnmarshalText refuses everything else: the browsers' wss address, for one, which no call can use.
func (u *HTTPURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" {
		return fmt.Errorf("%q does not begin with https:// and a host", text)
	}
	*u = HTTPURL(text)
	return nil
}

// SocketURL is an absolute address that begins with wss, or ws on one machine, and has no query.
type SocketURL string

// UnmarshalText refuses everything else: the management endpoint, for one, which takes no handshake.
func (u *SocketURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Scheme != "wss" && parsed.Scheme != "ws" || parsed.Host == "" || strings.ContainsAny(string(text), "?#") {
		return fmt.Errorf("%q does not begin with wss:// and a host, or has a query", text)
	}
	*u = SocketURL(text)
	return nil
}

// Read fills T from the environment. All faults are reported together, by variable name.
func Read[T any]() (T, error) {
	c, err := env.ParseAs[T]()
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// Load is Read and AWS.
func Load[T any](ctx context.Context, conns int) (T, aws.Config, error) {
	c, err := Read[T]()
	if err != nil {
		return c, aws.Config{}, err
	}
	cfg, err := AWS(ctx, conns)
	return c, cfg, err
}

// AWS loads the SDK's configuration with a transport that keeps up to conns connections to each
// host alive. The default transport keeps ten and dials the rest anew, which costs a TLS
// handshake for most requests of a busy pool. It speaks HTTP/1.1 only, of which each request has a
// connection to itself: one that hangs holds up no other.
func AWS(ctx context.Context, conns int) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = conns
		t.MaxIdleConnsPerHost = conns
		t.MaxConnsPerHost = conns
		t.IdleConnTimeout = 90 * time.Second
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	})
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(client))
	if err != nil {
		return cfg, fmt.Errorf("AWS configuration: %w", err)
	}
	return cfg, nil
}
