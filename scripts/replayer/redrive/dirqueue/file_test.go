package dirqueue

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// The form that people see. It is a promise: files of an older version of this program are read by a newer one.
func TestForm(t *testing.T) {
	t.Parallel()
	e := redrive.Entry{
		ID: "one", Trace: "Root=1-67891233-abcdef012345678912345678", Body: `{"z":1.0,"a":["<é>",{}],"a":1e400}`,
		Attributes: map[string]redrive.Attribute{
			"type": redrive.Text("METRIC_UPDATE"), "n": {Type: "Number", Value: []byte("12")}, "b": {Type: "Binary.png", Value: []byte{0, 255}},
		},
	}
	about := About{From: "the-dlq", To: "the-queue", Cause: "unreadable: /data", SentAt: time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC)}
	data, _, err := encode(e, about)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "id": "one",
  "from": "the-dlq",
  "to": "the-queue",
  "cause": "unreadable: /data",
  "sent_at": "2026-01-31T12:00:00.005Z",
  "sha256": "SHA",
  "trace": "Root=1-67891233-abcdef012345678912345678",
  "attributes": {
    "b": {
      "type": "Binary.png",
      "base64": "AP8="
    },
    "n": {
      "type": "Number",
      "value": "12"
    },
    "type": {
      "type": "String",
      "value": "METRIC_UPDATE"
    }
  },
  "body": {
    "z": 1.0,
    "a": [
      "<é>",
      {}
    ],
    "a": 1e400
  }
}
`
	const sha = "de07baa75163d768ae50e0a22def9cf640cd19328f4c857a0496cd70150d0e77"
	if got := string(data); got != strings.Replace(want, "SHA", sha, 1) {
		t.Errorf("got\n%s", got)
	}
}

func TestEdited(t *testing.T) {
	t.Parallel()
	e := redrive.Entry{
		ID: "one", Body: "{\"a\": 1,\n\t\"b\": \"x\"}\n", Trace: "Root=1",
		Attributes: map[string]redrive.Attribute{"type": redrive.Text("METRIC_UPDATE"), "n": {Type: "Number", Value: []byte("12")}},
	}
	data, _, err := encode(e, About{From: "q"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit   [2]string
		edited bool
		body   string
	}{
		"not":           {[2]string{"", ""}, false, e.Body},
		"spaces":        {[2]string{`    "a": 1`, `"a"  :1`}, false, e.Body},
		"line ends":     {[2]string{"\n", "\r\n"}, false, e.Body},
		"mark":          {[2]string{"{\n  \"id\"", "\ufeff{\n  \"id\""}, false, e.Body},
		"note":          {[2]string{`"from": "q"`, `"from": "p"`}, false, e.Body},
		"body":          {[2]string{`"a": 1`, `"a": 2`}, true, `{"a":2,"b":"x"}`},
		"order":         {[2]string{"\"a\": 1,\n    \"b\": \"x\"", `"b":"x","a":1`}, true, `{"b":"x","a":1}`},
		"number's form": {[2]string{`"a": 1`, `"a": 1.0`}, true, `{"a":1.0,"b":"x"}`},
		"trace":         {[2]string{"Root=1", "Root=2"}, true, e.Body},
		"value":         {[2]string{`"12"`, `"13"`}, true, e.Body},
		"kind":          {[2]string{`"Number"`, `"String"`}, true, e.Body},
		"name":          {[2]string{`"n": {`, `"m": {`}, true, e.Body},
		"digest":        {[2]string{`"sha256": "`, `"sha256": "0`}, true, e.Body},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edited := strings.ReplaceAll(string(data), c.edit[0], c.edit[1])
			if c.edit[0] == "" {
				edited = string(data)
			} else if edited == string(data) {
				t.Fatalf("nothing to edit in\n%s", data)
			}
			l, err := decode([]byte(edited))
			if err != nil || l.Edited != c.edited || l.Body != c.body {
				t.Errorf("edited %v, %v, body %q", l.Edited, err, l.Body)
			}
		})
	}
	l, err := decode([]byte(`{"id": "mine", "body": {"a": 1}}`))
	if err != nil || !l.Edited || l.Body != `{"a":1}` {
		t.Errorf("what somebody wrote: %+v, %v", l, err)
	}
}

// Whatever a message is made of, its file gives it back, and JSON is shown as such.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("<>&\u2028\x00\"\\\t\r\n{}[] \ufeff")), 0, 20, -1))
	bytesOf := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
	documents := rapid.Custom(func(t *rapid.T) string {
		value := map[string]any{"n": rapid.Float64().Draw(t, "number"), "s": texts.Draw(t, "text"), "l": rapid.SliceOf(rapid.Int()).Draw(t, "list")}
		if rapid.Bool().Draw(t, "pretty") {
			data, _ := json.MarshalIndent(value, " ", "\t")
			return string(data)
		}
		data, _ := json.Marshal(value)
		return string(data)
	})
	rapid.Check(t, func(t *rapid.T) {
		e := redrive.Entry{
			ID: rapid.StringN(1, 20, -1).Draw(t, "id"), Trace: texts.Draw(t, "trace"),
			Body: rapid.OneOf(texts, bytesOf, documents, rapid.SampledFrom([]string{"", "null", "1", `"x"`, "[]", " {}", `{"a":1,"a":2}`, "[\xff]"})).Draw(t, "body"),
		}
		e.Attributes = rapid.MapOf(texts, rapid.Custom(func(t *rapid.T) redrive.Attribute {
			return redrive.Attribute{
				Type:  rapid.SampledFrom([]string{"String", "Number", "Binary", "String.x", "Number.y", "Binary.z", ""}).Draw(t, "type"),
				Value: []byte(rapid.OneOf(texts, bytesOf).Draw(t, "value")),
			}
		})).Draw(t, "attributes")
		data, digest, err := encode(e, About{SentAt: time.Unix(rapid.Int64Range(0, 1e10).Draw(t, "sent"), 0)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := decode(data)
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		same := maps.EqualFunc(l.Attributes, e.Attributes, func(a, b redrive.Attribute) bool { return a.Type == b.Type && string(a.Value) == string(b.Value) })
		if l.ID != e.ID || l.Body != e.Body || l.Trace != e.Trace || !same || l.Edited || l.digest != digest {
			t.Fatalf("%+v came back as %+v", e, l.Message)
		}
		if trimmed := strings.TrimLeft(e.Body, " \t\r\n"); json.Valid([]byte(e.Body)) && strings.ContainsAny(trimmed[:1], "{[") && !strings.Contains(e.Body, "\xff") {
			if !strings.Contains(string(data), `"body": `) {
				t.Fatalf("JSON is not shown as such:\n%s", data)
			}
		}
	})
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{`[]`: 1, `{"a":[{}],"b":{}}`: 3, `["[[[","\"[","\\",[]]`: 2, `{"\\\"{":1}`: 1} {
		if got := depth([]byte(value)); got != want {
			t.Errorf("%s: %d, want %d", value, got, want)
		}
	}
}

// Whatever a file holds, it is read or refused, and what was read is written as it was.
func FuzzDecode(f *testing.F) {
	for _, e := range []redrive.Entry{
		{ID: "one", Body: `{"a": 1}`, Trace: "t", Attributes: map[string]redrive.Attribute{"a": redrive.Text("b"), "c": {Type: "Binary", Value: []byte{1}}}},
		{ID: "two", Body: "text"},
		{ID: "three", Body: "\xff"},
	} {
		data, _, err := encode(e, About{From: "f", To: "t", Cause: "c", SentAt: time.Unix(0, 0), System: map[string]string{"a": "b"}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"id":"a","body":[1],"original":" [1]"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decode(data)
		if err != nil {
			return
		}
		again, _, err := encode(redrive.Entry{ID: l.ID, Body: l.Body, Trace: l.Trace, Attributes: l.Attributes}, l.About)
		if err != nil {
			if len(data) < MaxFile/8 {
				t.Fatalf("%v: %q", err, data)
			}
			return
		}
		back, err := decode(again)
		if err != nil || back.Body != l.Body || back.Edited {
			t.Fatalf("%v: %q came back as %q", err, l.Body, back.Body)
		}
	})
}
