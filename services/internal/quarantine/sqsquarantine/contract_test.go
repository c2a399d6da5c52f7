package sqsquarantine_test

import (
	"strings"
	"testing"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/quarantine"
	"github.com/iops-dashboard/live/services/internal/quarantine/quarantinetest"
	"github.com/iops-dashboard/live/services/internal/quarantine/sqsquarantine"
)

// What is written is what records/quarantine/v1 describes, and every example of it can be read.
func TestMessagesKeepTheContract(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*quarantine.Record){
		"all is known": func(*quarantine.Record) {},
		"nothing is known": func(r *quarantine.Record) {
			*r = quarantine.Record{Payload: []byte(`7`), At: r.At, Reason: quarantine.Reason{Code: "type"}}
		},
		"null":      func(r *quarantine.Record) { r.Payload = []byte(`null`) },
		"not JSON":  func(r *quarantine.Record) { r.Payload = []byte("{") },
		"not UTF-8": func(r *quarantine.Record) { r.Payload = []byte("\xff\x00") },
		"nothing":   func(r *quarantine.Record) { r.Payload = nil },
		"large":     func(r *quarantine.Record) { r.Payload = []byte(`"` + strings.Repeat("the same again ", 60_000) + `"`) },
	} {
		r := quarantinetest.Record()
		change(&r)
		body, err := sqsquarantine.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
			t.Errorf("%s: %v\n%.300s", name, err, body)
		}
	}
}
