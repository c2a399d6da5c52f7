package stub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// What a sender has to sign with. They are of the form that a Lambda's role has, with a session token
// as long as those are, and open nothing.
const (
	AccessKeyID     = "ASIAEXAMPLEEXAMPLE00"
	SecretAccessKey = "stub/secret/of/a/bench/stub/secret/00000"
	Region          = "eu-central-1"
	service         = "execute-api"
	// skew is how far the clock of a signature may be off:
	// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
	skew = 5 * time.Minute
)

// SessionToken is sent and signed with each post.
var SessionToken = strings.Repeat("IQoJb3JpZ2luX2VjEXAMPLE", 44)[:1003]

var credentials = aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey, SessionToken: SessionToken}

// verify signs the request again with the SDK's signer, over the headers that the sender says to have
// signed, and wants the same signature.
func verify(r *request, now time.Time) error {
	header, err := headerOf(r.header)
	if err != nil {
		return err
	}
	sent := header.Get("Authorization")
	_, list, ok := strings.Cut(sent, "SignedHeaders=")
	list, _, more := strings.Cut(list, ",")
	if !ok || !more {
		return errors.New("no authorization that names its headers")
	}
	signed := strings.Split(list, ";")
	at, err := time.Parse("20060102T150405Z", header.Get("X-Amz-Date"))
	if err != nil || at.Sub(now).Abs() > skew {
		return fmt.Errorf("signed at %q", header.Get("X-Amz-Date"))
	}
	for _, name := range []string{"host", "x-amz-date", "x-amz-security-token"} {
		if !slices.Contains(signed, name) {
			return fmt.Errorf("%s is not signed", name)
		}
	}
	target, err := url.ParseRequestURI(string(r.target))
	if err != nil {
		return err
	}
	again := &http.Request{Method: string(r.method), URL: target, Host: header.Get("Host"), Header: http.Header{}}
	again.URL.Host = again.Host
	for _, name := range signed {
		switch name {
		case "host", "x-amz-date":
		case "x-amz-security-token":
			if header.Get(name) != SessionToken {
				return errors.New("another session token")
			}
		case "content-length":
			again.ContentLength = int64(len(r.body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = header.Values(name)
		}
	}
	sum := sha256.Sum256(r.body)
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(sum[:]), service, Region, at); err != nil {
		return err
	}
	if again.Header.Get("Authorization") != sent {
		return errors.New("another signature")
	}
	return nil
}

func headerOf(lines []byte) (http.Header, error) {
	header := http.Header{}
	for line := range bytes.Lines(lines) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return nil, errRequest
		}
		header.Add(string(name), string(bytes.TrimSpace(value)))
	}
	return header, nil
}
