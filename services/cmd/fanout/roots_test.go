package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// In a container from scratch there are no roots of trust but those that the program brings, and all that it does is to
// talk to AWS by TLS.
func TestTrustsAmazonWhereTheSystemHasNoRoots(t *testing.T) {
	const bare = "FANOUT_TEST_NO_ROOTS"
	if os.Getenv(bare) == "" {
		test := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		test.Env = append(os.Environ(), bare+"=1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent")
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	found := 0
	for root := range bundle.Roots() {
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Subject.Organization) == 0 || c.Subject.Organization[0] != "Amazon" {
			continue
		}
		found++
		if _, err := c.Verify(x509.VerifyOptions{}); err != nil {
			t.Errorf("%s: %v", c.Subject, err)
		}
	}
	if found == 0 {
		t.Error("the bundle has no roots of Amazon")
	}
}
