package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/iops-dashboard/live/infra/topology"
	"github.com/iops-dashboard/live/scripts/replayer/awsfault"
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
			l.Cause = unread(err)
			l.Decision = keep(l.Cause)
			return l, nil
		case l.Cause == "": // of several the first stands for all
			l.Letter, l.Entity = d.Letter(), d.Table()
		}
	}
	l.SentAt = m.SentAt
	l.Decision = redrive.Decision{Fate: redrive.Replay, Messages: p.records(ctx, m.ID, notice)}
	return l, nil
}

// unread says why a document cannot be read, in words that are the same for all that have the same fault.
func unread(err error) string {
	switch code := awsfault.Code(err); {
	case errors.Is(err, failure.ErrMissing):
		return "its document is gone from the store: scripts/replay resync brings the rows that it told of"
	case code != "":
		return "its document cannot be read now: " + code
	}
	return "its document cannot be read: " + err.Error()
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
			for m, err := range p.recordsOf(ctx, id, d) {
				m.ID = id
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

func (p place) recordsOf(ctx context.Context, id string, d failure.Document) iter.Seq2[redrive.Message, error] {
	return func(yield func(redrive.Message, error) bool) {
		for record, err := range d.Records(ctx, dynamodbstreams.NewFromConfig(p.config), p.passed(d.Table())) {
			if errors.Is(err, failure.ErrTrimmed) || errors.Is(err, failure.ErrGone) {
				p.forgotten[id] = d.Table()
				err = fmt.Errorf("neither the store nor the stream has its records: only the rows of %s tell what they said", d.Table())
			}
			if !yield(redrive.Message{Body: string(record)}, err) || err != nil {
				return
			}
		}
	}
}

// passed says which keys of a table's stream are read; nil: all.
func (p place) passed(table string) *topology.KeyPrefix {
	t, err := p.table(table, p.Stage)
	if err != nil {
		return nil // what reads the table says so
	}
	return t.Filter()
}

// remember brings the rows of the tables whose records are forgotten, and takes the messages away that told of these. It is
// done when all else was replayed: a record that comes after the rows could show what its row was before.
func (c replay) remember(w world, p place, j job) (err error) {
	fmt.Fprintf(w.errs, "replay: of %d messages neither the store nor the stream has the records: the rows of their tables are brought instead\n", len(p.forgotten))
	run := redrive.NewRun(time.Now())
	said := conditions{Command: "replay failures"}
	chosen, err := said.filter()
	if err != nil {
		return err
	}
	log, err := w.log(run, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	first := map[string]string{} // by table, the message for which its rows are brought: it stays if that fails
	plan := p.plan(run)
	plan.Log, plan.Filter = log, said.text()
	plan.Decide = func(ctx context.Context, m redrive.Message) (redrive.Decision, error) {
		table, ok := p.forgotten[m.ID]
		if !ok {
			return redrive.Decision{}, nil
		}
		first[table] = cmp.Or(first[table], m.ID)
		d := redrive.Decision{Fate: redrive.Replay, Messages: func(func(redrive.Message, error) bool) {}}
		if first[table] == m.ID {
			d.Messages = p.rowsOf(ctx, table)
		}
		return d, nil
	}
	j.again = "the same command, given again"
	_, err = w.carry(plan, j, chosen)
	return err
}

// rowsOf are records of the rows of a table that are not shown as they are.
func (p place) rowsOf(ctx context.Context, table string) iter.Seq2[redrive.Message, error] {
	return func(yield func(redrive.Message, error) bool) {
		s, err := p.rows(ctx, table, p.Stage)
		if err == nil {
			err = bounded(ctx, s, mostGone)
		}
		if err != nil {
			yield(redrive.Message{}, err)
			return
		}
		resync.Rows(ctx, s)(yield)
	}
}
