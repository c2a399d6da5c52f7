package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/iops-dashboard/live/services/bench"
)

// newFloor signs with the SDK's own signer.
func newFloor(ctx context.Context, w bench.Workload) (bench.Variant, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(w.Endpoint)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", endpoint.Host)
	}
	if endpoint.Scheme == "https" {
		pem, err := os.ReadFile(os.Getenv("AWS_CA_BUNDLE"))
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: endpoint.Hostname()}}
		dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", endpoint.Host) }
	}
	signer, now := v4.NewSigner(), time.Now()
	return &bench.Floor{
		Endpoint: w.Endpoint, Pool: w.Pool, Dial: dial,
		Sign: func(r *http.Request, body []byte) error {
			sum := sha256.Sum256(body)
			return signer.SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), "execute-api", cfg.Region, now)
		},
	}, nil
}
