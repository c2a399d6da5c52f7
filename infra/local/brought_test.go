package local_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/infra/local"
	"github.com/iops-dashboard/live/infra/local/install"
	"github.com/iops-dashboard/live/infra/local/process"
	"github.com/iops-dashboard/live/infra/topology"
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

// A table that is said to be there is used as it is, and never made.
func TestBroughtTableIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	endpoints := local.Endpoints{Region: "eu-west-1", DynamoDB: dynamoDB(t)}
	endpoints.Streams = endpoints.DynamoDB
	options := local.Options{Endpoints: endpoints, Topology: topology.New(topology.Options{MetricsTable: "their-metrics", InsightsTable: "their-findings"})}

	absent := options
	absent.Root, absent.Dir = root, t.TempDir()
	if _, err := local.Start(t.Context(), absent); err == nil || !strings.Contains(err.Error(), "their-") {
		t.Fatalf("Start() = %v, want it to name the table that is not there", err)
	}

	client := dynamodb.New(dynamodb.Options{
		Region: endpoints.Region, BaseEndpoint: &endpoints.DynamoDB, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	for name, keys := range map[string][2]string{"their-metrics": {"entity_id", "entity_type"}, "their-findings": {"pk", "sk"}} {
		in := &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
		}
		for i, kind := range []types.KeyType{types.KeyTypeHash, types.KeyTypeRange} {
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &keys[i], AttributeType: types.ScalarAttributeTypeS})
			in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &keys[i], KeyType: kind})
		}
		if _, err := client.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	stack := start(t, options)
	c := newClients(stack.Env())
	ws := c.connect(t)
	c.update(t, "student", "stu_theirs", row{"health_score": 50})
	ws.waitFor(t, "stu_theirs")
	for name, wrong := range map[string]string{"their-findings": "an end of items", "iops-dashboard-metrics": "a second table", "iops-dashboard-insights": "a second table"} {
		out, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
		if err == nil && (name != "their-findings" || out.TimeToLiveDescription.AttributeName != nil) {
			t.Errorf("%s: there is %s now", name, wrong)
		}
	}
}
