// Package awsgateway uses the @connections API of Amazon API Gateway.
package awsgateway

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/smithy-go"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/gateway"
)

// Gateway is a [gateway.Gateway] and a [gateway.Closer].
type Gateway struct {
	client *apigatewaymanagementapi.Client
}

var (
	_ gateway.Gateway = (*Gateway)(nil)
	_ gateway.Closer  = (*Gateway)(nil)
)

// New returns the gateway at endpoint: https://{api-id}.execute-api.{region}.amazonaws.com/{stage},
// without /@connections. As many posts can be in flight as the transport of cfg keeps connections;
// see config.AWS.
//
// The SDK's retries are off. It would retry 429 by itself, three times, while the caller's place
// in the pool is held, and the caller knows better which connection can wait.
func New(cfg aws.Config, endpoint string) *Gateway {
	return &Gateway{client: apigatewaymanagementapi.NewFromConfig(cfg, func(o *apigatewaymanagementapi.Options) {
		o.BaseEndpoint = &endpoint
		o.Retryer = aws.NopRetryer{}
	})}
}

// Post makes one PostToConnection call.
func (g *Gateway) Post(ctx context.Context, connectionID string, f *gateway.Frame, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := g.client.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{
		ConnectionId: &connectionID, Data: f.Text(),
	})
	return classify("gateway.Post", err)
}

// Disconnect makes one DeleteConnection call.
func (g *Gateway) Disconnect(ctx context.Context, connectionID string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := g.client.DeleteConnection(ctx, &apigatewaymanagementapi.DeleteConnectionInput{ConnectionId: &connectionID})
	if err = classify("gateway.Disconnect", err); fault.KindOf(err) == fault.Gone {
		return nil
	}
	return err
}

// classify gives an error of the SDK its kind. The status code decides, since a 410 has no body
// and 400 no type in the SDK. What may tell the connection is left out: the address of the request,
// and the service's message, which quotes an id that it does not like.
// https://docs.aws.amazon.com/apigatewaymanagementapi/latest/reference/API_PostToConnection.html
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() != 0 {
		code := ""
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			code = api.ErrorCode()
		}
		return fault.Newf(op, gateway.KindOf(answer.HTTPStatusCode()), "status %d %s", answer.HTTPStatusCode(), code)
	}
	if sent, ok := errors.AsType[*url.Error](err); ok {
		err = sent.Err
	}
	return fault.New(op, fault.Transient, err) // no answer was had
}
