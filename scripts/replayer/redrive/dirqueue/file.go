package dirqueue

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// letter is what a file holds.
type letter struct {
	redrive.Message
	About
	digest string // that the file was written with
}

// document is a file, in the order in which it is written.
type document struct {
	ID         string               `json:"id"`
	From       string               `json:"from,omitempty"`
	To         string               `json:"to,omitempty"`
	Cause      string               `json:"cause,omitempty"`
	SentAt     time.Time            `json:"sent_at,omitzero"`
	SHA256     string               `json:"sha256"`
	System     map[string]string    `json:"system,omitempty"`
	Trace      string               `json:"trace,omitempty"`
	Attributes map[string]attribute `json:"attributes,omitempty"`
	Body       json.RawMessage      `json:"body,omitempty"`
	Original   string               `json:"original,omitempty"`
	Text       *string              `json:"text,omitempty"`
	Base64     *string              `json:"base64,omitempty"`
}

type attribute struct {
	Type   string  `json:"type"`
	Value  *string `json:"value,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

// forms are the ways to write a message, the most readable first.
var forms = []func(*document, redrive.Entry) bool{
	func(d *document, e redrive.Entry) bool {
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(e.Body)) != nil || !isContainer(compact.Bytes()) || depth(compact.Bytes()) > maxDepth {
			return false
		}
		d.Body = compact.Bytes()
		if compact.String() != e.Body {
			d.Original = e.Body
		}
		return true
	},
	func(d *document, e redrive.Entry) bool {
		d.Text = &e.Body
		return true
	},
	func(d *document, e redrive.Entry) bool {
		d.Base64 = base64Of([]byte(e.Body))
		return true
	},
	func(d *document, e redrive.Entry) bool {
		d.Base64 = base64Of([]byte(e.Body))
		for name, a := range e.Attributes {
			d.Attributes[name] = attribute{Type: a.Type, Base64: base64Of(a.Value)}
		}
		return true
	},
}

// maxDepth bounds how deep a body is that is shown indented: that takes the square of the depth.
const maxDepth = 100

// depth is how deep a JSON value is nested.
func depth(value []byte) (deepest int) {
	open, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}

func isContainer(value []byte) bool { return len(value) > 0 && (value[0] == '{' || value[0] == '[') }

func base64Of(value []byte) *string {
	text := base64.StdEncoding.EncodeToString(value)
	return &text
}

// encode returns the file of an entry, in the most readable form that decode reads as it was.
func encode(e redrive.Entry, about About) (data []byte, digest string, err error) {
	digest = digestOf(e.Body, e.Trace, e.Attributes)
	for _, form := range forms {
		d := document{
			ID: e.ID, From: about.From, To: about.To, Cause: about.Cause, SentAt: about.SentAt.UTC(), SHA256: digest,
			System: about.System, Trace: e.Trace, Attributes: map[string]attribute{},
		}
		for name, a := range e.Attributes {
			d.Attributes[name] = readable(a)
		}
		if !form(&d, e) {
			continue
		}
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if encoder.Encode(d) != nil {
			continue
		}
		if back, err := decode(b.Bytes()); err == nil && back.ID == e.ID && !back.Edited {
			return b.Bytes(), digest, nil
		}
	}
	return nil, "", errors.New("it cannot be a file: it is too large, or its id, its trace or the name or type of an attribute is not a text")
}

func readable(a redrive.Attribute) attribute {
	if strings.HasPrefix(a.Type, "Binary") || !utf8.Valid(a.Value) {
		return attribute{Type: a.Type, Base64: base64Of(a.Value)}
	}
	value := string(a.Value)
	return attribute{Type: a.Type, Value: &value}
}

// digestOf is the SHA-256 of what is sent, in hexadecimal digits. Each part follows its length, so that none runs into the next.
func digestOf(body, trace string, attributes map[string]redrive.Attribute) string {
	h := sha256.New()
	part := func(text string) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		_, _ = io.WriteString(h, text)
	}
	part(body)
	part(trace)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		part(name)
		part(attributes[name].Type)
		part(string(attributes[name].Value))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// mark is what some editors put before a text.
var mark = []byte("\ufeff")

// decode reads a file. Its errors name the member that is wrong, and quote no value.
func decode(data []byte) (letter, error) {
	if len(data) > MaxFile {
		return letter{}, fmt.Errorf("it has %d bytes, and %d are the most", len(data), MaxFile)
	}
	data = bytes.TrimPrefix(data, mark)
	if !utf8.Valid(data) {
		return letter{}, errors.New("it is not in UTF-8")
	}
	members, err := object(data, []string{
		"id", "from", "to", "cause", "sent_at", "sha256", "system", "trace", "attributes", "body", "original", "text", "base64",
	})
	if err != nil {
		return letter{}, err
	}
	var l letter
	var sentAt string
	for name, to := range map[string]*string{
		"id": &l.ID, "from": &l.From, "to": &l.To, "cause": &l.Cause, "sent_at": &sentAt, "sha256": &l.digest, "trace": &l.Trace,
	} {
		if err := text(members, name, to); err != nil {
			return letter{}, err
		}
	}
	if l.ID == "" {
		return letter{}, errors.New("it has no id")
	}
	if sentAt != "" {
		if l.About.SentAt, err = time.Parse(time.RFC3339Nano, sentAt); err != nil {
			return letter{}, errors.New(`"sent_at" is no time, as 2026-01-31T12:00:00Z`)
		}
	}
	if system := members["system"]; system != nil && json.Unmarshal(system, &l.About.System) != nil {
		return letter{}, errors.New(`"system" is no object of texts`)
	}
	if l.Attributes, err = attributes(members["attributes"]); err != nil {
		return letter{}, err
	}
	if l.Body, err = body(members); err != nil {
		return letter{}, err
	}
	l.Message.SentAt, l.Message.System = l.About.SentAt, l.About.System
	l.Edited = l.digest != digestOf(l.Body, l.Trace, l.Attributes)
	return l, nil
}

func body(members map[string]json.RawMessage) (string, error) {
	var original, plain string
	if err := errors.Join(text(members, "original", &original), text(members, "text", &plain)); err != nil {
		return "", err
	}
	document := members["body"]
	switch n := present(members, "body", "text", "base64"); {
	case n == 0:
		return "", errors.New(`it has no body: no "body", no "text" and no "base64"`)
	case n > 1:
		return "", errors.New(`it has two bodies: one of "body", "text" and "base64" is wanted`)
	case members["base64"] != nil:
		value, err := bytesOf(members["base64"])
		if err != nil {
			return "", fmt.Errorf(`"base64" %w`, err)
		}
		return string(value), nil
	case document == nil:
		return plain, nil
	case !isContainer(document):
		return "", errors.New(`"body" is neither an object nor an array: a text belongs into "text"`)
	}
	compact := compactOf(document)
	if original != "" && compactOf([]byte(original)) == compact {
		return original, nil
	}
	return compact, nil
}

// compactOf is a JSON value without space between its tokens; each token stays as it is. Empty if it is none.
func compactOf(value []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return ""
	}
	return b.String()
}

func attributes(value json.RawMessage) (map[string]redrive.Attribute, error) {
	all := map[string]redrive.Attribute{}
	if value == nil {
		return all, nil
	}
	named, err := object(value, nil)
	if err != nil {
		return nil, fmt.Errorf(`"attributes": %w`, err)
	}
	for name, value := range named {
		members, err := object(value, []string{"type", "value", "base64"})
		var a redrive.Attribute
		var plain string
		if err == nil {
			err = errors.Join(text(members, "type", &a.Type), text(members, "value", &plain))
		}
		switch {
		case err != nil:
		case a.Type == "" && members["type"] == nil:
			err = errors.New(`it has no "type"`)
		case present(members, "value", "base64") != 1:
			err = errors.New(`one of "value" and "base64" is wanted`)
		case members["value"] != nil:
			a.Value = []byte(plain)
		default:
			if a.Value, err = bytesOf(members["base64"]); err != nil {
				err = fmt.Errorf(`"base64" %w`, err)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		all[name] = a
	}
	return all, nil
}

func present(members map[string]json.RawMessage, names ...string) (n int) {
	for _, name := range names {
		if members[name] != nil {
			n++
		}
	}
	return n
}

// text reads a member that is a text, if it is there.
func text(members map[string]json.RawMessage, name string, to *string) error {
	if value := members[name]; value != nil && (value[0] != '"' || json.Unmarshal(value, to) != nil) {
		return fmt.Errorf("%q is no text in quotation marks", name)
	}
	return nil
}

func bytesOf(value json.RawMessage) ([]byte, error) {
	var plain string
	if value[0] != '"' || json.Unmarshal(value, &plain) != nil {
		return nil, errors.New("is no text in quotation marks")
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(plain)
	if err != nil {
		return nil, errors.New("is not in base64")
	}
	return decoded, nil
}

// object reads the members of a JSON object. It refuses those that are not among known, if that is given, and two of one
// name: of two the reader of the file would see one, and this program perhaps the other.
func object(data []byte, known []string) (map[string]json.RawMessage, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.Join(errors.New("it is no object"), err)
	}
	members := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if known != nil && !slices.Contains(known, name) {
			return nil, fmt.Errorf("it has a member that is not known: %q", name)
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("it has two members of the name %q", name)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		members[name] = value
	}
	return members, nil
}
