package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/iops-dashboard/live/infra/topology"
)

func asyncAPIOf(t *testing.T) map[string]any {
	t.Helper()
	files, err := generate(realSchemas(t))
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(files["asyncapi.json"], &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// What JSON Schema draft-07 does not know, or does not read beside a $ref, must not be there: it would
// be ignored in silence. The parser's own test is contracts/ts/asyncapi.test.ts.
func TestAsyncAPISchemasAreDraft07(t *testing.T) {
	document := asyncAPIOf(t)
	references := 0
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			for name, sub := range v {
				if strings.HasPrefix(at, "/components/schemas/") && !strings.HasSuffix(at, "/properties") {
					if slices.Contains([]string{"$schema", "$id", "unevaluatedProperties", "$defs"}, name) {
						t.Errorf("%s has %s", at, name)
					}
				}
				walk(sub, at+"/"+name)
			}
			ref, ok := v["$ref"].(string)
			if !ok {
				return
			}
			references++
			if len(v) > 1 {
				t.Errorf("%s: what stands beside a $ref is not read", at)
			}
			if resolve(document, ref) == nil {
				t.Errorf("%s refers to %s, which is not there", at, ref)
			}
		case []any:
			for _, sub := range v {
				walk(sub, at+"/-")
			}
		}
	}
	walk(document, "")
	if references < 50 {
		t.Errorf("found %d references", references)
	}
}

func resolve(document any, ref string) any {
	v := document
	for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		o, _ := v.(map[string]any)
		v = o[step]
	}
	return v
}

func TestAsyncAPIInheritsAndCloses(t *testing.T) {
	frame := resolve(asyncAPIOf(t), "#/components/schemas/SyncedFrameV1").(map[string]any)
	if frame["additionalProperties"] != false {
		t.Error("the frame is open")
	}
	if got, want := frame["required"], []any{"type", "version", "timestamp", "sync_id"}; !slices.Equal(got.([]any), want) {
		t.Errorf("requires %v, want %v", got, want)
	}
	if typ := resolve(frame, "#/properties/type").(map[string]any); typ["const"] != "SYNCED" || typ["description"] != "Names the frame." {
		t.Errorf("type is %v", typ)
	}
	if frame["x-schema"] != baseID+"frames/synced/v1.json" || frame["x-max-bytes"] != 30720.0 {
		t.Errorf("the frame is %v", frame)
	}
}

func TestAsyncAPIFollowsTheTopology(t *testing.T) {
	document := asyncAPIOf(t)
	system := topology.Default()
	for _, s := range system.Subscriptions {
		q, _ := system.Queue(s.Queue)
		queue := resolve(document, "#/channels/"+channel(q.Name)+"/bindings/sqs/queue").(map[string]any)
		if queue["visibilityTimeout"] != q.Visibility.Seconds() || queue["messageRetentionPeriod"] != q.Retention.Seconds() {
			t.Errorf("%s is %v", q.Name, queue)
		}
		if got := resolve(queue, "#/redrivePolicy/maxReceiveCount"); got != float64(q.MaxReceives) {
			t.Errorf("%s moves a message on after %v receives, want %d", q.Name, got, q.MaxReceives)
		}
	}
	if host := resolve(document, "#/servers/websocket/pathname"); host != "/"+system.WebSocket.Stage {
		t.Errorf("the socket's path is %v", host)
	}
	headers := resolve(document, "#/components/messages/InsightCreatedV1/headers/properties").(map[string]any)
	if got := resolve(headers, "#/version/const"); got != "1" {
		t.Errorf("version is %v", got)
	}
	if got := resolve(headers, "#/type/const"); got != "INSIGHT_CREATED" {
		t.Errorf("type is %v", got)
	}
}
