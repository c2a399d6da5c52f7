// Package logtest holds what a test's subject logs, for the test to read.
package logtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
)

// Log keeps all that is written to it. The zero value is empty. It may be used concurrently.
type Log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// With returns the lines, each a JSON object, that say msg.
func (l *Log) With(msg string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg {
			found = append(found, fields)
		}
	}
	return found
}
