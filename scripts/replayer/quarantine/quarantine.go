// Package quarantine reads what rests in the quarantine, and makes what is put there of dead letters that cannot be brought
// back. Both have the form of contracts.QuarantinedRecordV1.
package quarantine

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// FromAttribute of a dead letter in quarantine names the queue that it belongs to.
const FromAttribute = "x-quarantined-from"

// Codes of the reasons for which dead letters are in quarantine. The normalizer's own are others.
const (
	Replayed   = "replayed"   // so often that it is not tried again
	Unreadable = "unreadable" // by any fanout
)

// RecordType is the type of a letter that is a stream record.
const RecordType = "stream record"

// Item is what a message in the quarantine stands for.
type Item struct {
	// Letter has as cause the rule that was broken, where, and the words for it: at most 200 bytes.
	deadletter.Letter
	QuarantinedAt time.Time

	// Message is what is to be replayed: a stream record, with what is known of its replays as attributes, or the dead
	// letter as it was.
	Message redrive.Message
	// Record says that it is for the normalizer, and else for the queue From, which is empty where the letter had no room
	// to say it.
	Record bool
	From   string
}

// Read says what m stands for. The error is why nothing can be replayed for it: it is not of the form, or a record that is
// no JSON object and so can never become an event, or [deadletter.ErrNewer]. The item has then what could be read.
// Neither error nor cause quotes more of a record than the normalizer did.
func Read(m redrive.Message) (Item, error) {
	item := Item{Letter: deadletter.Letter{SentAt: m.SentAt}, Message: m}
	form, payload, err := decode(m.Body)
	if err != nil {
		item.Cause = clip("unreadable: " + err.Error())
		return item, err
	}
	item.Cause = clip(strings.TrimSpace(form.Reason.Code+" "+form.Reason.Pointer) + ": " + form.Reason.Message)
	item.Tenant = value(form.Tenant)
	item.Entity = strings.Trim(value(form.EntityType)+"/"+value(form.EntityID), "/")
	item.QuarantinedAt, _ = time.Parse(time.RFC3339Nano, form.QuarantinedAt) // it is valid
	item.Message.Attributes = maps.Clone(m.Attributes)
	from, named := m.Attributes[FromAttribute]
	if named || form.Reason.Code == Replayed || form.Reason.Code == Unreadable {
		item.From = string(from.Value)
		delete(item.Message.Attributes, FromAttribute)
		item.Message.Body = string(payload)
		letter, _, _ := deadletter.Place{}.Read(item.Message)
		item.Type = letter.Type
		return item, nil
	}
	item.Type, item.Record = RecordType, true
	record, marks, err := normalizer.Unmark(string(payload))
	if err != nil {
		return item, fmt.Errorf("the record %w: it can never become an event", err)
	}
	if item.Message.Attributes == nil {
		item.Message.Attributes = map[string]redrive.Attribute{}
	}
	maps.Copy(item.Message.Attributes, marks)
	item.Message.Body = record
	return item, nil
}

// Of makes of a dead letter what is put into the quarantine; why is for people, and quotes nothing of the body. The
// letter's attributes, and its trace, stay those of the message. If there is no room for the name of the queue that it
// belongs to, those go that say for which message, and in which run, it was replayed; [Read] then misses them. The error
// is that it does not fit a message even when it is packed.
func Of(m redrive.Message, why, from string, at time.Time) (redrive.Entry, error) {
	letter, _, broken := deadletter.Place{}.Read(m)
	form := contracts.QuarantinedRecordV1{
		Version:       contracts.QuarantinedRecordV1Version,
		QuarantinedAt: at.UTC().Format(timeLayout),
		Reason:        contracts.QuarantineReason{Code: Unreadable, Message: clip(cmp.Or(why, "is not said"))},
		EventID:       text(member(m.Body, "id")),
		Tenant:        text(letter.Tenant),
		TraceParent:   text(member(m.Body, "traceparent")),
	}
	entityType, entityID, _ := strings.Cut(letter.Entity, "/")
	form.EntityType, form.EntityID = text(entityType), text(entityID)
	if invalid, ok := errors.AsType[contracts.Invalid](broken); ok {
		form.Reason.Pointer = invalid.Pointer
	}
	if n, err := strconv.Atoi(string(m.Attributes[redrive.CountAttribute].Value)); err == nil && n >= redrive.MaxReplays {
		form.Reason.Code = Replayed
	}
	body, err := encode(form, m.Body)
	if err != nil {
		return redrive.Entry{}, err
	}
	e := redrive.Entry{ID: m.ID, Body: body, Trace: m.Trace, Attributes: maps.Clone(m.Attributes)}
	if e.Attributes == nil {
		e.Attributes = map[string]redrive.Attribute{}
	}
	e.Attributes[FromAttribute] = redrive.Text(from)
	for _, dispensable := range []string{redrive.OfAttribute, redrive.RunAttribute, FromAttribute} {
		if e.Fits() {
			break
		}
		delete(e.Attributes, dispensable)
	}
	if !e.Fits() {
		return redrive.Entry{}, errors.New("it does not fit a message of the quarantine")
	}
	return e, nil
}

// timeLayout is that of contracts: UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// maxPlain is the largest body that is kept readable, as the normalizer does it.
const maxPlain = 200_000

// maxUnpacked bounds what a small message may unpack to. It is what the normalizer packs at most: the event of an
// invocation has up to 6 MB.
const maxUnpacked = 8 << 20

// encode completes the form with a body: itself if that comes back to the byte, and else packed.
func encode(form contracts.QuarantinedRecordV1, body string) (string, error) {
	if len(body) <= maxPlain && json.Valid([]byte(body)) {
		form.Record = json.RawMessage(body)
		plain, err := marshal(form)
		if _, back, wrong := decode(plain); err == nil && wrong == nil && string(back) == body {
			return plain, nil
		}
		form.Record = nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, body); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	encoded := base64.StdEncoding.EncodeToString(packed.Bytes())
	form.RecordGzip = &encoded
	whole, err := marshal(form)
	if err == nil {
		err = contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(whole))
	}
	return whole, err
}

// notForSQS are the characters of JSON that SQS refuses in a body: they are escaped.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var notForSQS = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`)

func marshal(form contracts.QuarantinedRecordV1) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(form)
	return notForSQS.Replace(strings.TrimSuffix(b.String(), "\n")), err
}

// decode reads the form, and what is in it, to the byte.
func decode(body string) (form contracts.QuarantinedRecordV1, payload []byte, err error) {
	const no = "it is not of the quarantine's form: "
	var major struct {
		Version float64 `json:"version"`
	}
	if json.Unmarshal([]byte(body), &major) == nil && major.Version > contracts.QuarantinedRecordV1Version {
		return form, nil, fmt.Errorf("version %g of the quarantine's form: %w", major.Version, deadletter.ErrNewer)
	}
	if err := contracts.ValidateProducer(contracts.KindQuarantinedRecordV1, []byte(body)); err != nil {
		return form, nil, fmt.Errorf(no+"%w", err)
	}
	if err := json.Unmarshal([]byte(body), &form); err != nil {
		return form, nil, errors.New(no + "it cannot be read")
	}
	if (form.Record == nil) == (form.RecordGzip == nil) {
		return form, nil, errors.New(no + "wants either record or record_gzip")
	}
	if form.RecordGzip == nil {
		return form, form.Record, nil
	}
	packed, err := base64.StdEncoding.DecodeString(*form.RecordGzip)
	if err == nil {
		payload, err = unpack(packed)
	}
	if err != nil {
		return form, nil, fmt.Errorf(no+"record_gzip: %w", err)
	}
	return form, payload, nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	payload, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(payload) > maxUnpacked {
		err = errors.New("unpacks to more than 8 MiB")
	}
	return payload, err
}

// member is a text of an event, or empty.
func member(body, name string) string {
	var members map[string]json.RawMessage
	var value string
	if json.Unmarshal([]byte(body), &members) == nil {
		_ = json.Unmarshal(members[name], &value)
	}
	return value
}

// longestText is how many bytes of an id or a name are taken for one.
const longestText = 1024

func text(s string) *string {
	if s == "" || len(s) > longestText {
		return nil
	}
	return &s
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// maxCause is how many bytes a cause, or the words of a reason, have at most.
const maxCause = 200

func clip(s string) string {
	if len(s) <= maxCause {
		return s
	}
	const more = "…"
	end := maxCause - len(more)
	for end > 0 && s[end]&0xc0 == 0x80 { // within a character
		end--
	}
	return s[:end] + more
}
