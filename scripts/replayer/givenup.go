package main

import (
	"context"
	"errors"
	"iter"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iops-dashboard/live/scripts/replayer/failure"
	"github.com/iops-dashboard/live/scripts/replayer/failure/s3store"
	"github.com/iops-dashboard/live/scripts/replayer/redrive"
	"github.com/iops-dashboard/live/scripts/replayer/resync"
)

// readGivenUp opens what tells of records that Lambda gave up: for it, the normalizer gets these records.
func (p place) readGivenUp(ctx context.Context, m redrive.Message) (l letter, err error) {
	l.message = m
	l.SentAt = m.SentAt
	notice, err := failure.ReadNotice(m.Body)
	if err != nil {
		l.Cause, l.Decision = "unreadable: "+err.Error(), keep(err.Error())
		return l, nil
	}
	if notice.Test {
		l.Cause = "S3 tried whether it can send here"
		l.Decision = redrive.Decision{Fate: redrive.Archive, Why: l.Cause + ": nobody needs it"}
		return l, nil
	}
	for d, err := range p.documents(ctx, notice) {
		switch {
		case errors.Is(err, redrive.ErrDenied), ctx.Err() != nil:
			return l, err
		case err != nil:
			l.Cause, l.Decision = "unreadable: "+err.Error(), keep(err.Error())
			return l, nil
		case l.Cause == "": // of several the first stands for all
			l.Letter, l.Entity = d.Letter(), d.Table()
		}
	}
	l.SentAt = m.SentAt
	l.Decision = redrive.Decision{Fate: redrive.Replay, Messages: p.records(ctx, m.ID, notice)}
	return l, nil
}

// documents reads what the notice tells of, one after the other: each may have some megabytes.
func (p place) documents(ctx context.Context, n failure.Notice) iter.Seq2[failure.Document, error] {
	return func(yield func(failure.Document, error) bool) {
		if n.Document != nil {
			yield(*n.Document, nil)
			return
		}
		store := s3store.New(s3.NewFromConfig(p.config, func(o *s3.Options) {
			o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL_S3") != "" // a server of one machine has one name
		}))
		for _, o := range n.Objects {
			var d failure.Document
			text, err := store.Get(ctx, o)
			if err == nil {
				d, err = failure.ReadDocument(text)
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// records are the records of the documents; or, where the stream has forgotten them, the rows of the table.
func (p place) records(ctx context.Context, id string, n failure.Notice) iter.Seq2[redrive.Message, error] {
	return func(yield func(redrive.Message, error) bool) {
		for d, err := range p.documents(ctx, n) {
			if err != nil {
				yield(redrive.Message{}, err)
				return
			}
			for m, err := range p.recordsOf(ctx, d) {
				m.ID = id
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

func (p place) recordsOf(ctx context.Context, d failure.Document) iter.Seq2[redrive.Message, error] {
	return func(yield func(redrive.Message, error) bool) {
		s, err := p.rows(ctx, d.Table(), p.stage)
		if err != nil && d.Payload == nil {
			yield(redrive.Message{}, err)
			return
		}
		for record, err := range d.Records(ctx, dynamodbstreams.NewFromConfig(p.config), s.Table.Filter()) {
			if errors.Is(err, failure.ErrTrimmed) || errors.Is(err, failure.ErrGone) {
				resync.Rows(ctx, s)(yield)
				return
			}
			if !yield(redrive.Message{Body: string(record)}, err) || err != nil {
				return
			}
		}
	}
}
