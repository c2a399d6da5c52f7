package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/iops-dashboard/live/services/bench"
	"github.com/iops-dashboard/live/services/internal/gateway/wiregateway"
)

// newWire is the adapter with a wire of its own.
func newWire(ctx context.Context, w bench.Workload) (bench.Variant, error) {
	g, err := wire(ctx, w)
	if err != nil {
		return nil, err
	}
	return bench.Pooled{Gateway: g, Pool: w.Pool, PerFrame: w.PerFrame, Timeout: time.Duration(w.PostTimeoutMS) * time.Millisecond}, nil
}

func wire(ctx context.Context, w bench.Workload) (*wiregateway.Gateway, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	o := wiregateway.Options{Endpoint: w.Endpoint, Region: cfg.Region, Credentials: cfg.Credentials, Connections: w.Pool}
	if file := os.Getenv("AWS_CA_BUNDLE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return wiregateway.New(o)
}
