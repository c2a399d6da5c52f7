package deadletter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
)

// ReasonAttribute names the attribute in which the fanout says why it cannot read a message.
const ReasonAttribute = "dead_letter_reason"

// Letter is what is known of a dead letter. Texts are empty where that is not known.
type Letter struct {
	Cause  string    `json:"cause"`
	Type   string    `json:"type"`   // of the event
	Tenant string    `json:"tenant"` // whose it is
	Entity string    `json:"entity"` // the subject of the event, as student/stu_4532
	SentAt time.Time `json:"sent_at"`
}

// ErrNewer says that an event has a major version which is newer than this program.
var ErrNewer = errors.New("its major version is newer than this program: replay it with that of a later commit")

// Read says what m is that rests in a place of events, and returns it as its queue would have got it: out of the envelope
// of SNS if it is in one, and without the reason, which would be taken for that of its next failure. The error is why it
// would fail there again, or [ErrNewer]. Neither it nor the cause quotes a value of the body.
func (p Place) Read(m redrive.Message) (Letter, redrive.Message, error) {
	l := Letter{SentAt: m.SentAt}
	restored, err := p.restore(m)
	if err == nil {
		err = l.readEvent(restored.Body)
	}
	if l.Type == "" {
		l.Type = string(restored.Attributes["type"].Value)
	}
	reason := string(m.Attributes[ReasonAttribute].Value)
	switch {
	case reason != "":
		l.Cause = reason
	case err != nil:
		l.Cause = "unreadable: " + err.Error()
	case p.Kind == Undelivered:
		l.Cause = "SNS could not deliver it"
	default:
		l.Cause = fmt.Sprintf("gave up after %d receives", p.Receives)
	}
	return l, restored, err
}

// readEvent takes from an event what every event says, of whatever type and major, and reports why it breaks its contract.
func (l *Letter) readEvent(body string) error {
	var envelope struct{ Type, Tenant, Subject any }
	if json.Unmarshal([]byte(body), &envelope) == nil {
		l.Type, _ = envelope.Type.(string)
		l.Tenant, _ = envelope.Tenant.(string)
		l.Entity, _ = envelope.Subject.(string)
	}
	var err error
	if l.Type == contracts.InsightCreatedV1Type {
		_, err = contracts.DecodeInsight([]byte(body))
	} else {
		_, err = contracts.DecodeEvent([]byte(body))
	}
	if invalid, ok := errors.AsType[contracts.Invalid](err); ok && invalid.Keyword == contracts.KeywordUnknownMajor {
		return fmt.Errorf("%w (%w)", ErrNewer, err)
	}
	return err
}

// Foreign reports that m came from another queue than the place's target, as SQS says it.
func (p Place) Foreign(m redrive.Message) bool {
	source := m.System["DeadLetterQueueSourceArn"]
	return source != "" && source[strings.LastIndexByte(source, ':')+1:] != p.Target
}

// notification is the envelope in which SNS delivers where delivery is not raw:
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
type notification struct {
	Type              string
	MessageID         string `json:"MessageId"`
	TopicARN          string `json:"TopicArn"`
	Message           *string
	MessageAttributes map[string]struct{ Type, Value string }
}

func (p Place) restore(m redrive.Message) (redrive.Message, error) {
	m.Attributes = maps.Clone(m.Attributes)
	delete(m.Attributes, ReasonAttribute)
	if p.Kind != Undelivered {
		return m, nil
	}
	var n notification
	if json.Unmarshal([]byte(m.Body), &n) != nil || n.Type != "Notification" || n.TopicARN == "" || n.MessageID == "" || n.Message == nil {
		return m, nil // raw
	}
	attributes := map[string]redrive.Attribute{}
	for name, a := range n.MessageAttributes {
		value := []byte(a.Value)
		if strings.HasPrefix(a.Type, "Binary") {
			decoded, err := base64.StdEncoding.DecodeString(a.Value)
			if err != nil {
				return m, errors.New("a binary attribute in the envelope of SNS is not in base64")
			}
			value = decoded
		}
		attributes[name] = redrive.Attribute{Type: a.Type, Value: value}
	}
	maps.Copy(attributes, m.Attributes)
	m.Body, m.Attributes = *n.Message, attributes
	return m, nil
}
