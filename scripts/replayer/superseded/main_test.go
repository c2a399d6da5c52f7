package superseded

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

func TestMain(m *testing.M) {
	code := m.Run()
	if server.process != nil {
		server.process.Stop(context.Background())
	}
	_ = os.RemoveAll(server.dir)
	os.Exit(code)
}

// dynoxide is the DynamoDB engine of scripts/up.
type dynoxide struct {
	once    sync.Once
	url     string
	err     error
	dir     string
	process *process.Process
}

var server dynoxide

func (d *dynoxide) start() error {
	checkout, err := filepath.Abs(filepath.Join("..", "..", ".."))
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
	if d.dir, err = os.MkdirTemp("", "superseded"); err != nil {
		return err
	}
	d.process, err = process.Start(process.Spec{
		Name: "dynoxide", Path: path, Args: []string{"serve", "--host", "127.0.0.1", "--port", port}, Dir: d.dir,
	}, func(string) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	d.url = "http://" + address
	deadline := time.Now().Add(30 * time.Second)
	for range time.Tick(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return errors.New("dynoxide does not listen")
		}
	}
	return nil
}

func engine(t *testing.T) *dynamodb.Client {
	t.Helper()
	server.once.Do(func() { server.err = server.start() })
	if server.err != nil {
		t.Fatalf("%v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", server.err)
	}
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &server.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}
