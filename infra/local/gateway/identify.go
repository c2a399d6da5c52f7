package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"
)

// newID returns an id in the form of AWS's connection, message and request ids: 11 random bytes as URL-safe base64,
// that is 16 characters of which the last is "=".
func newID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.URLEncoding.EncodeToString(b[:])
}

// logID names a connection in a log, by the start of its hash, as the services do: who has a connection's id and the
// permission can post to that browser.
func logID(id string) slog.Attr {
	sum := sha256.Sum256([]byte(id))
	return slog.String("connection_id", hex.EncodeToString(sum[:8]))
}

// wellFormed tells an id that may have existed from one that cannot.
func wellFormed(id string) bool {
	b, err := base64.URLEncoding.DecodeString(id)
	return err == nil && len(id) == 16 && len(b) == 11
}

// newTraceID returns the value of X-Amzn-Trace-Id for a request that came without one.
func newTraceID(now time.Time) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%s", now.Unix(), hex.EncodeToString(b[:]))
}

// newRequestUUID returns the value of x-amzn-RequestId.
func newRequestUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
