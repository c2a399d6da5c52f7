package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/iops-dashboard/live/scripts/replayer/deadletter"
	"github.com/iops-dashboard/live/scripts/replayer/filter"
	"github.com/iops-dashboard/live/scripts/replayer/normalizer"
	"github.com/iops-dashboard/live/scripts/replayer/quarantine"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/redrive/sqsqueue"
)

// account is where AWS is asked.
type account struct {
	config aws.Config
	queues *sqs.Client
}

func (w world) account() (account, error) {
	c, err := config.LoadDefaultConfig(w.ctx)
	if err == nil && c.Region == "" {
		err = errors.New("no AWS Region: set AWS_REGION, or on one machine: set -a; . .local/env; set +a")
	}
	return account{c, sqs.NewFromConfig(c)}, err
}

// place is where dead letters rest, and where they belong.
type place struct {
	deadletter.Place
	account
	named  string // an id: only the message of this id is meant
	url    string // of its queue
	target redrive.Sink
	to     string // the target's name, or the URL if it is a queue

	origin     *deadletter.Place // in the quarantine: of whose dead letters it is; nil: of records
	quarantine redrive.Sink      // nil: this is it, or nothing of it goes there

	quarantineURL string

	forgotten map[string]string // by id of a message, the table whose records nobody has any more
}

// find finds the place that somebody names, by what it is called or the URL of its queue.
func (w world) find(named string, s stage) (p place, err error) {
	p.forgotten = map[string]string{}
	if p.Place, err = deadletter.Find(named, s.Stage); err != nil {
		return p, outcome{refused, err.Error()}
	}
	isURL := strings.Contains(named, "://")
	if isURL && (p.Kind == deadletter.Quarantined || p.Kind == deadletter.GivenUp) {
		return p, outcome{refused, "name it " + p.Short + ": its records go to the normalizer of the account whose credentials you have, and a URL may be of another"}
	}
	if s.From != "" {
		if p.origin, err = p.from(s); err != nil {
			return p, outcome{refused, err.Error()}
		}
	}
	if p.account, err = w.account(); err != nil {
		return p, err
	}
	if isURL {
		p.url = named
	} else if p.url, err = p.address(w.ctx, p.Name, p.Variable); err != nil {
		return p, err
	}
	owner := p.owner()
	switch owner.Kind {
	case deadletter.Quarantined, deadletter.GivenUp:
		p.to, p.target = owner.Target, normalizer.New(lambda.NewFromConfig(p.config), owner.Target)
		return p, nil
	}
	if p.to, err = p.beside(w.ctx, owner.Target, owner.TargetVariable); err != nil {
		return p, err
	}
	p.target = sqsqueue.New(p.queues, p.to)
	if p.Kind != deadletter.Quarantined {
		q, err := deadletter.Find("quarantine", p.Stage)
		if err != nil {
			return p, err
		}
		if p.quarantineURL, err = p.beside(w.ctx, q.Name, q.Variable); err != nil {
			return p, err
		}
		p.quarantine = sqsqueue.New(p.queues, p.quarantineURL)
	}
	return p, nil
}

// owner is the place whose messages are meant: another one only in the quarantine.
func (p place) owner() deadletter.Place {
	if p.origin != nil {
		return *p.origin
	}
	return p.Place
}

// from is the place whose dead letters in the quarantine are meant.
func (p place) from(s stage) (*deadletter.Place, error) {
	if p.Kind != deadletter.Quarantined {
		return nil, fmt.Errorf("--from is for the quarantine, and this is %s", p.Name)
	}
	origin, err := deadletter.Find(s.From, p.Stage)
	if err == nil && (origin.Kind == deadletter.Quarantined || origin.Kind == deadletter.GivenUp) {
		err = fmt.Errorf("--from %s: want the name of a fanout's dead letters, as fanout-0", s.From)
	}
	return &origin, err
}

// address is the URL of a queue: that of the variable, if it is of that queue; or else SQS is asked.
func (a account) address(ctx context.Context, name, variable string) (string, error) {
	if url := os.Getenv(variable); path.Base(url) == name {
		return url, nil
	}
	output, err := a.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return *output.QueueUrl, nil
}

// beside is the URL of another queue of the account and Region in which the place's is.
func (p place) beside(ctx context.Context, name, variable string) (string, error) {
	if account, ok := strings.CutSuffix(p.url, "/"+p.Name); ok {
		return account + "/" + name, nil
	}
	return p.address(ctx, name, variable)
}

func (p place) source() redrive.Queue { return sqsqueue.New(p.queues, p.url) }

// letter is a message at rest, and what becomes of it if it is chosen.
type letter struct {
	deadletter.Letter
	redrive.Decision
	message redrive.Message // as its target would get it: conditions hold of it, and it is edited
	foreign bool            // it belongs elsewhere, whatever it says
}

// read opens a message. An error is of whatever must be asked for that.
func (p place) read(ctx context.Context, m redrive.Message) (l letter, err error) {
	switch p.Kind {
	case deadletter.Quarantined:
		return p.readQuarantined(m), nil
	case deadletter.GivenUp:
		return p.readGivenUp(ctx, m)
	}
	var broken error
	l.Letter, l.message, broken = p.Read(m)
	l.Decision = redrive.Decision{Fate: redrive.Replay, Message: &l.message}
	switch {
	case p.Foreign(m):
		l.foreign = true
		l.Decision = keep("it came from another queue than " + p.Target)
	case errors.Is(broken, deadletter.ErrNewer):
		l.Decision = keep(broken.Error())
	case broken != nil:
		l.Decision = redrive.Decision{Fate: redrive.Quarantine, Why: broken.Error()}
	}
	return l, nil
}

func keep(why string) redrive.Decision { return redrive.Decision{Fate: redrive.Keep, Why: why} }

// readQuarantined opens what rests in the quarantine: a record, or a dead letter that a replay put there.
func (p place) readQuarantined(m redrive.Message) (l letter) {
	item, err := quarantine.Read(m)
	l.Letter, l.message = item.Letter, item.Message
	l.Decision = redrive.Decision{Fate: redrive.Replay, Message: &l.message}
	switch {
	case err != nil:
		l.Decision = keep(err.Error())
	case p.origin == nil && !item.Record:
		l.foreign = true
		l.Decision = keep("it is a dead letter of " + cmp.Or(item.From, "an unknown queue") + ": --from is for those")
	case p.origin != nil && (item.Record || item.From != "" && item.From != p.origin.Target):
		l.Decision = redrive.Decision{Fate: redrive.Skip}
	case p.origin != nil && item.From == "" && m.ID != p.named:
		l.Decision = keep("it had no room to say which queue it belongs to: --id names it, with the queue that you know")
	case p.origin != nil:
		// Somebody asks for it by name: it begins anew.
		delete(l.message.Attributes, redrive.CountAttribute)
		if _, _, err := p.origin.Read(l.message); err != nil {
			l.Decision = keep(err.Error())
		}
	}
	return l
}

// decide says what becomes of a message: what it is, unless it does not match, or something newer is known.
func (p place) decide(ctx context.Context, m redrive.Message, chosen *filter.Filter, newer newer) (l letter, err error) {
	if l, err = p.read(ctx, m); err != nil {
		return l, err
	}
	ok, err := chosen.Match(ctx, l.Letter, l.message)
	if err != nil || !ok {
		l.Decision = redrive.Decision{Fate: redrive.Skip}
		return l, err
	}
	if newer != nil && l.Fate == redrive.Replay {
		older, err := newer(ctx, l.message)
		if err != nil {
			return l, err
		}
		if older {
			l.Decision = redrive.Decision{Fate: redrive.Archive, Why: "superseded: the state table has a newer version"}
		}
	}
	return l, nil
}

// plan is a run that brings back what rests in the place.
func (p place) plan(run string) redrive.Plan {
	return redrive.Plan{
		Run: run, Source: p.source(), SourceName: p.url, Target: p.target, TargetName: p.to,
		Quarantine: p.quarantine, Quarantined: p.quarantined,
	}
}

// quarantined is what is put into the quarantine for a message: as its queue would have got it, if that can be made out.
func (p place) quarantined(m redrive.Message, why string) (redrive.Entry, error) {
	id := m.ID
	_, m, _ = p.Read(m)
	m.ID = id
	return quarantine.Of(m, why, p.Target, time.Now())
}
