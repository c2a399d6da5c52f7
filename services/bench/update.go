package bench

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// An update is as large as those of the real system: about 460 bytes, with twelve attributes.
const (
	epoch         = 1795000000000
	timestampForm = "2006-01-02T15:04:05.000Z"
	frameHead     = `{"type":"METRIC_UPDATE","version":1,"timestamp":"`
	frameData     = `","data":[`
	frameEnd      = `]}`
)

// Update is one state of one entity.
type Update struct {
	Entity   int
	Revision int64
	Written  time.Time
}

func entityID(n int) string { return fmt.Sprintf("sub_%04d", n+1) }

// appendTo writes what a frame says of u.
func (u Update) appendTo(b []byte) []byte {
	at := u.Written.UTC()
	b = append(b, `{"entity_type":"subject","entity_id":"`...)
	b = append(b, entityID(u.Entity)...)
	b = append(b, `","operation":"UPSERT","version":{"epoch":`...)
	b = strconv.AppendInt(b, epoch, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, u.Revision, 10)
	b = append(b, `},"attributes":{"sessions_7d":`...)
	b = strconv.AppendInt(b, 100+u.Revision%100, 10)
	b = append(b, `,"sessions_14d":236,"sessions_30d":498,"ib_calls_7d":4,"ib_calls_14d":9,"avg_rating":4.35,`+
		`"health_score":71.5,"churn_risk_14d":0.113,"last_updated":"`...)
	b = at.AppendFormat(b, timestampForm)
	b = append(b, `","segment":"healthy","region":"us-east","balance_status":"balanced"},"written_at":"`...)
	b = at.AppendFormat(b, timestampForm)
	return append(b, `"}`...)
}

// Event is the METRIC_UPDATE event of u, as the normalizer publishes it.
func (u Update) Event() []byte {
	at := u.Written.UTC().Format(timestampForm)
	id := entityID(u.Entity)
	attributes := func(revision int64) string {
		return fmt.Sprintf(`{"sessions_7d":%d,"sessions_14d":236,"sessions_30d":498,"ib_calls_7d":4,"ib_calls_14d":9,"avg_rating":4.35,`+
			`"health_score":71.5,"churn_risk_14d":0.113,"last_updated":"%s","segment":"healthy","region":"us-east","balance_status":"balanced"}`, 100+revision%100, at)
	}
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"8f6f5f2c1d0e4b3a9c7d6e5f4a3b2c1d","type":"METRIC_UPDATE","source":"iops-dashboard/normalizer","subject":"subject/%s","time":"%s",`+
		`"datacontenttype":"application/json","dataschema":"https://iops-dashboard.dev/contracts/events/metric-update/v1.json","tenant":"default",`+
		`"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":{"entity_type":"subject","entity_id":"%s","operation":"UPSERT",`+
		`"version":{"epoch":%d,"revision":%d},"sequence":"100000000003498069978","written_at":"%s","current":%s,"previous":%s,"changed":["sessions_7d"]}}`,
		id, at, id, int64(epoch), u.Revision, at, attributes(u.Revision), attributes(u.Revision-1))
}

// Frame joins updates into one METRIC_UPDATE frame of major 1.
func Frame(updates ...Update) []byte {
	b := append(make([]byte, 0, 80+480*len(updates)), frameHead...)
	b = time.Now().UTC().AppendFormat(b, timestampForm)
	b = append(b, frameData...)
	for i, u := range updates {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.appendTo(b)
	}
	return append(b, frameEnd...)
}

// connectionIDs are n ids that look like API Gateway's: 16 characters, the last of them '=', which
// has to be escaped in a path and escaped once more where it is signed.
func connectionIDs(n int) []string {
	all := make([]string, n)
	for i := range all {
		var raw [11]byte
		binary.BigEndian.PutUint64(raw[:], uint64(i)*0x9e3779b97f4a7c15)
		raw[8], raw[9], raw[10] = byte(i>>16), byte(i>>8), byte(i)
		all[i] = base64.URLEncoding.EncodeToString(raw[:])
	}
	return all
}
