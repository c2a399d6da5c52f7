package local_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/process"
)

// A DynamoDB of the user's outlives us, with its tables, its stream and the connections that were
// open when we were stopped.
func TestUsersDynamoDBIsUsedAgain(t *testing.T) {
	t.Parallel()
	endpoints := local.Endpoints{Region: "eu-west-1", DynamoDB: dynamoDB(t)}
	endpoints.Streams = endpoints.DynamoDB
	var last int64
	for _, id := range []string{"stu_before", "stu_after"} {
		stack := start(t, local.Options{Endpoints: endpoints})
		for _, p := range stack.Processes() {
			if p.Name() == "dynoxide" {
				t.Error("a DynamoDB was started beside the user's")
			}
		}
		c := newClients(stack.Env())
		ws := c.connect(t)
		c.update(t, "student", id, row{"health_score": 50})
		c.update(t, "student", "stu_both", row{"health_score": len(id)})
		ws.waitFor(t, id)
		u := ws.waitFor(t, "stu_both")
		if u.Version.Revision <= last {
			t.Errorf("revision %d after %d: an open page would drop it", u.Version.Revision, last)
		}
		last = u.Version.Revision
		stack.Close()
	}
}

// dynamoDB runs a server that is not the stack's until the test ends, and returns its URL.
func dynamoDB(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	path, err := install.Tree{Root: checkout}.Dynoxide()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = l.Close()
	p, err := process.Start(process.Spec{
		Name: "dynoxide", Path: path, Args: []string{"serve", "--host", "127.0.0.1", "--port", port}, Dir: t.TempDir(),
	}, func(string) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background()) })
	eventually(t, "DynamoDB to listen", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return "http://" + address
}
