package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/services/internal/sigv4"
)

// sdk is what the SDK's own signer says of the same request.
func sdk(t interface{ Fatal(...any) }, c aws.Credentials, r sigv4.Request, body string) string {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+r.Host+string(r.Path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", sigv4.ContentType)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), c, request, hex.EncodeToString(sum[:]), "execute-api", "eu-west-1", r.Time); err != nil {
		t.Fatal(err)
	}
	return request.Header.Get("Authorization")
}

func requestOf(id, body string, at time.Time) sigv4.Request {
	return sigv4.Request{
		Host: "abcd1234.execute-api.eu-west-1.amazonaws.com", Path: sigv4.AppendEscaped([]byte("/prod/@connections/"), id),
		Length: len(body), Hash: sha256.Sum256([]byte(body)), Time: at,
	}
}

// One signer, many requests, with credentials that rotate and days that pass in between: each signature is
// the SDK's.
func TestSignaturesAreTheSDKs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := sigv4.New("eu-west-1")
		begin := time.Date(2026, 11, 23, 23, 59, 58, 0, time.UTC)
		for range rapid.IntRange(1, 8).Draw(t, "requests") {
			c := aws.Credentials{
				AccessKeyID:     rapid.SampledFrom([]string{"AKIDEXAMPLE", "ASIAOTHER"}).Draw(t, "key"),
				SecretAccessKey: rapid.SampledFrom([]string{"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "other"}).Draw(t, "secret"),
				SessionToken:    rapid.SampledFrom([]string{"", "IQoJb3JpZ2luX2VjE//" + strings.Repeat("a+/=", 200)}).Draw(t, "token"),
			}
			id := rapid.OneOf(
				rapid.StringMatching(`[A-Za-z0-9_-]{15}=`),
				rapid.StringMatching(`[ -~]{0,20}`),
				rapid.String(),
			).Draw(t, "id")
			body := rapid.String().Draw(t, "body")
			at := begin.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "seconds")) * time.Second)
			r := requestOf(id, body, at)
			got, date := s.Sign(nil, c, r)
			if want := sdk(t, c, r, body); string(got) != want {
				t.Fatalf("%s of %q\n got %s\nwant %s", date, id, got, want)
			}
			if date != at.Format("20060102T150405Z") {
				t.Fatalf("date %s", date)
			}
		}
	})
}

func FuzzSign(f *testing.F) {
	f.Add("L0SM9cOFvHcCIhw=", "{}", "token", int64(1795341600))
	f.Add("../%3D", "", "", int64(0))
	f.Fuzz(func(t *testing.T, id, body, token string, seconds int64) {
		// No token has line breaks, or spaces that a header loses.
		words := strings.FieldsFunc(token, func(r rune) bool { return strings.ContainsRune(" \r\n\x00", r) })
		token = strings.TrimSpace(strings.Join(words, " "))
		at := time.Unix(seconds&(1<<33-1), 0).UTC()
		c := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: token}
		r := requestOf(id, body, at)
		if got, _ := sigv4.New("eu-west-1").Sign(nil, c, r); string(got) != sdk(t, c, r, body) {
			t.Errorf("%q: %s", id, got)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	c := aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: strings.Repeat("t", 1003)}
	body := strings.Repeat("x", 463)
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	r := requestOf("L0SM9cOFvHcCIhw=", body, at)
	b.Run("ours", func(b *testing.B) {
		s := sigv4.New("eu-west-1")
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = s.Sign(dst[:0], c, r)
		}
	})
	b.Run("sdk", func(b *testing.B) {
		signer := v4.NewSigner()
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+r.Host+string(r.Path), strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		hash := hex.EncodeToString(r.Hash[:])
		b.ReportAllocs()
		for b.Loop() {
			if err := signer.SignHTTP(context.Background(), c, request, hash, "execute-api", "eu-west-1", at); err != nil {
				b.Fatal(err)
			}
		}
	})
}
