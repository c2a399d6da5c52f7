// Command fn is a Lambda function that does as the tests ask.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Mode string          `json:"mode"`
	Wait string          `json:"wait"`
	Size int             `json:"size"`
	Text string          `json:"text"`
	Echo json.RawMessage `json:"echo"`
}

var ticks atomic.Int64

func main() {
	initialise()
	lambda.Start(handle)
}

// initialise goes wrong as FN_INIT says, or only the first time if FN_ONCE names a file that is not there yet.
func initialise() {
	mode := os.Getenv("FN_INIT")
	if once := os.Getenv("FN_ONCE"); once != "" {
		if _, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			mode = ""
		}
	}
	switch mode {
	case "hang":
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(4)
	case "error":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		body := []byte(os.Getenv("FN_INIT_ERROR"))
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		request.Header.Set("Lambda-Runtime-Function-Error-Type", "Extension.Worse")
		if _, err := http.DefaultClient.Do(request); err != nil {
			panic(err)
		}
		os.Exit(1)
	case "rogue":
		rogue()
	case "leave": // asks for an event and goes without reading it
		address := os.Getenv("AWS_LAMBDA_RUNTIME_API")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", address)
		time.Sleep(20 * time.Millisecond)
		os.Exit(5)
	}
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Mode {
	case "echo":
		return e.Echo, nil
	case "pid":
		return os.Getpid(), nil
	case "env":
		wd, _ := os.Getwd()
		return map[string]any{"env": os.Environ(), "wd": wd, "pid": os.Getpid()}, nil
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"requestId": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "trace": ctx.Value("x-amzn-trace-id"),
			"left": time.Until(deadline).Seconds(), "custom": lc.ClientContext.Custom,
		}, nil
	case "sleep":
		d, err := time.ParseDuration(e.Wait)
		if err != nil {
			return nil, err
		}
		fmt.Println("working")
		time.Sleep(d)
		return "slept", nil
	case "error":
		return nil, errors.New("it did not work")
	case "panic":
		panic("it went wrong")
	case "exit":
		os.Exit(3)
	case "leave":
		os.Exit(0)
	case "big":
		return strings.Repeat("x", e.Size), nil
	case "log":
		fmt.Println(e.Text)
		fmt.Fprint(os.Stderr, "no line end")
		os.Exit(3)
	case "orphan":
		child := exec.Command("/bin/sleep", "1000")
		if err := child.Start(); err != nil {
			return nil, err
		}
		return child.Process.Pid, nil
	case "tick":
		if ticks.Load() == 0 {
			ticks.Add(1)
			go func() {
				for range time.Tick(time.Millisecond) {
					ticks.Add(1)
				}
			}()
		}
		return ticks.Load(), nil
	}
	return nil, fmt.Errorf("unknown mode %q", e.Mode)
}
