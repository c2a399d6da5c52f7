// Package dynamotest gives the tests of a package the DynamoDB engine of scripts/up.
package dynamotest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/process"
)

// Login is that of all who use the engine.
var Login = credentials.NewStaticCredentialsProvider("test", "test", "")

// engine is started by the first test that wants it.
type engine struct {
	once    sync.Once
	url     string
	err     error
	dir     string
	process *process.Process
}

var shared engine

// Main is a package's TestMain: it runs the tests, and ends the engine.
func Main(m *testing.M) {
	code := m.Run()
	if shared.process != nil {
		shared.process.Stop(context.Background())
	}
	_ = os.RemoveAll(shared.dir)
	os.Exit(code)
}

// URL is where the engine listens, which all tests of the package share. It may be called concurrently.
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.err = shared.start() })
	if shared.err != nil {
		t.Fatalf("%v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", shared.err)
	}
	return shared.url
}

// Client is a client of the engine.
func Client(t testing.TB) *dynamodb.Client {
	t.Helper()
	url := URL(t)
	return dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: Login})
}

func (e *engine) start() error {
	checkout, err := filepath.Abs(filepath.Join("..", "..", "..")) // from the folder of the package that is tested
	if err != nil {
		return err
	}
	path, err := install.Tree{Root: checkout}.Dynoxide()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = listener.Close()
	if e.dir, err = os.MkdirTemp("", "dynamotest"); err != nil {
		return err
	}
	e.process, err = process.Start(process.Spec{
		Name: "dynoxide", Path: path, Args: []string{"serve", "--host", "127.0.0.1", "--port", port}, Dir: e.dir,
	}, func(string) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	e.url = "http://" + address
	deadline := time.Now().Add(30 * time.Second)
	for range time.Tick(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			break
		}
	}
	return errors.New("dynoxide does not listen")
}
