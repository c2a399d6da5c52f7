// Package contracttest tries a consumer of our events, frames or other documents on what it may meet.
// Any team can import it: it needs nothing but the code that reads one document.
//
//	func TestConsumer(t *testing.T) {
//		contracttest.Consumer(t, read, contracts.KindMetricUpdateV1)
//	}
//
// What a consumer owes follows from the law of change (contracts/README.md): within a major version
// fields and enum values may be added without warning, so it must live through both; another type or
// major version is somebody else's document, and reading it as if it were known would be worse than not
// reading it.
package contracttest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/iops-dashboard/live/contracts"
)

// Consumer runs read over documents of each kind, in subtests, and fails t where read
//
//   - refuses an example, of which every later consumer must read every one, forever;
//   - refuses an example with fields, or with an enum value, of the future;
//   - accepts a document of an unknown type or major version: it belongs into a dead-letter queue;
//   - accepts what is not JSON, or no object;
//   - panics on any of these, on a reject, or on a hostile document. Of those it may accept what it likes.
//
// read takes one document, as it was received, and returns nil if it has read it. It is called once for
// each document, from one goroutine; it may keep or change the bytes. Name every kind that read is made
// for, and no other: events that share a queue are best tried together.
func Consumer(t *testing.T, read func(document []byte) error, kinds ...contracts.Kind) {
	t.Helper()
	if len(kinds) == 0 {
		t.Fatal("contracttest: name the kinds that the consumer reads, as contracts.KindMetricUpdateV1")
	}
	for _, k := range kinds {
		trials, err := trialsOf(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, trial := range trials {
			t.Run(string(k)+"/"+trial.name, func(t *testing.T) {
				if fault := trial.judge(read); fault != "" {
					t.Error(fault)
				}
			})
		}
	}
}

// verdict is what a consumer owes a document.
type verdict int

const (
	accept  verdict = iota
	refuse          // with an error
	survive         // no panic, whatever else
)

// trial is one document with what is owed to it.
type trial struct {
	name     string
	why      string // ends the sentence "must read it:"
	document []byte
	owed     verdict
}

// judge says what is wrong with how read treats the document, or "".
func (c trial) judge(read func([]byte) error) (fault string) {
	defer func() {
		if reason := recover(); reason != nil {
			fault = fmt.Sprintf("panics (%v) on a document that anybody may send: %s\n%s", reason, c.why, excerpt(c.document))
		}
	}()
	err := read(slices.Clone(c.document))
	switch {
	case c.owed == accept && err != nil:
		return fmt.Sprintf("refuses it (%v), but must read it: %s\n%s", err, c.why, excerpt(c.document))
	case c.owed == refuse && err == nil:
		return fmt.Sprintf("reads it, but must return an error: %s\n%s", c.why, excerpt(c.document))
	}
	return ""
}

// excerpt is as much of a document as a test's log should show.
func excerpt(document []byte) []byte {
	const enough = 2000
	if len(document) <= enough {
		return document
	}
	return slices.Concat(bytes.ToValidUTF8(document[:enough], nil), []byte("…"))
}
