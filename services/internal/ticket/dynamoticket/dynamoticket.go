// Package dynamoticket keeps tickets in a DynamoDB table with string keys pk and sk and the TTL attribute
// expires_at:
//
//	pk ticket#<SHA-256>              sk ticket       tenant, subject, session, entity_types, origin, until, issued_at,
//	                                               valid_until
//	pk issued#<tenant>#<subject>     sk <window>     issued
//
// valid_until is in Unix milliseconds and decides; expires_at, in Unix seconds, is for TTL alone, which may
// delete an item days later. A missing entity_types are all of them, a missing origin is none, and a missing
// until, which is in Unix milliseconds as issued_at, is no end. A window is
// named for its begin in Unix milliseconds, and counts the tickets that the subject was issued in it.
package dynamoticket

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/fault/awsfault"
	"github.com/iops-dashboard/live/services/internal/ticket"
)

// Tickets is a [ticket.Tickets] on a DynamoDB table.
type Tickets struct {
	client *dynamodb.Client
	table  string
}

var _ ticket.Tickets = (*Tickets)(nil)

// New returns the tickets that are stored in table. The client's own retries stay in force: one that
// repeats a call whose answer was lost may count a ticket twice, or find it redeemed by itself. Then the
// client asks for another.
func New(client *dynamodb.Client, table string) *Tickets {
	return &Tickets{client: client, table: table}
}

// Issue counts the ticket, and then writes it.
func (t *Tickets) Issue(ctx context.Context, g ticket.Grant, lifetime time.Duration) (ticket.Ticket, error) {
	const op = "ticket.Issue"
	if err := ticket.Check(op, g, lifetime); err != nil {
		return ticket.Ticket{}, err
	}
	if err := t.count(ctx, op, g); err != nil {
		return ticket.Ticket{}, err
	}
	issued, digest := ticket.New(lifetime)
	item := ticketKey(digest)
	item["tenant"], item["subject"], item["session"] = text(g.Tenant), text(g.Subject), text(g.Session)
	item["issued_at"] = number(issued.IssuedAt.UnixMilli())
	item["valid_until"] = number(issued.ExpiresAt.UnixMilli())
	item["expires_at"] = number(issued.ExpiresAt.Unix() + 1)
	if g.Origin != "" {
		item["origin"] = text(g.Origin)
	}
	if !g.Until.IsZero() {
		item["until"] = number(g.Until.UnixMilli())
	}
	if g.EntityTypes != nil {
		item["entity_types"] = &types.AttributeValueMemberSS{Value: g.EntityTypes}
	}
	if _, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: item}); err != nil {
		return ticket.Ticket{}, awsfault.DynamoDB.Classify(op, err)
	}
	return issued, nil
}

// count takes one of the subject's tickets in this window.
func (t *Tickets) count(ctx context.Context, op string, g ticket.Grant) error {
	begin := ticket.Begin(time.Now())
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &t.table,
		Key:                 key("issued#"+g.Tenant+"#"+g.Subject, strconv.FormatInt(begin.UnixMilli(), 10)),
		UpdateExpression:    aws.String("SET expires_at = :end ADD issued :one"),
		ConditionExpression: aws.String("attribute_not_exists(issued) OR issued < :limit"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":one": number(1), ":limit": number(ticket.Limit), ":end": number(begin.Add(ticket.Window).Unix() + 1),
		},
	})
	if unmet(err) {
		return fault.New(op, fault.Throttled, ticket.ErrTooMany)
	}
	return awsfault.DynamoDB.Classify(op, err)
}

// Redeem deletes the ticket's item, which only one can do, and then looks at what it was. Whatever the text
// is, it costs one call.
func (t *Tickets) Redeem(ctx context.Context, secret string) (ticket.Grant, error) {
	const op = "ticket.Redeem"
	out, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:           &t.table,
		Key:                 ticketKey(ticket.Digest(secret)),
		ConditionExpression: aws.String("attribute_exists(pk)"),
		ReturnValues:        types.ReturnValueAllOld,
	})
	if unmet(err) {
		return ticket.Grant{}, gone(op)
	}
	if err != nil {
		return ticket.Grant{}, awsfault.DynamoDB.Classify(op, err)
	}
	return read(op, out.Attributes)
}

// read returns the grant of a ticket's item, unless that has expired.
func read(op string, item map[string]types.AttributeValue) (ticket.Grant, error) {
	g := ticket.Grant{
		Tenant: textOf(item["tenant"]), Subject: textOf(item["subject"]), Session: textOf(item["session"]), Origin: textOf(item["origin"]),
	}
	var validUntil time.Time
	for name, to := range map[string]*time.Time{"valid_until": &validUntil, "until": &g.Until, "issued_at": &g.IssuedAt} {
		if err := readTime(item[name], to); err != nil {
			return ticket.Grant{}, fault.Newf(op, fault.Internal, "%s: %w", name, err)
		}
	}
	switch {
	case validUntil.IsZero():
		return ticket.Grant{}, fault.Newf(op, fault.Internal, "an item lacks valid_until")
	case !time.Now().Before(validUntil):
		return ticket.Grant{}, gone(op)
	}
	if allowed, ok := item["entity_types"].(*types.AttributeValueMemberSS); ok {
		g.EntityTypes = slices.Sorted(slices.Values(allowed.Value)) // a set has no order
	}
	if err := ticket.Check(op, g, ticket.Lifetime); err != nil { // somebody else may write to the table
		return ticket.Grant{}, fault.New(op, fault.Internal, err)
	}
	return g, nil
}

// readTime reads Unix milliseconds; a value that is missing leaves the time as it is.
func readTime(v types.AttributeValue, to *time.Time) error {
	if v == nil {
		return nil
	}
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return errors.New("not a number")
	}
	ms, err := strconv.ParseInt(n.Value, 10, 64)
	if err == nil {
		*to = time.UnixMilli(ms)
	}
	return err
}

func gone(op string) error { return fault.Newf(op, fault.Gone, "forged, redeemed or expired") }

// unmet reports whether err is that a condition was not met.
func unmet(err error) bool {
	_, unmet := errors.AsType[*types.ConditionalCheckFailedException](err)
	return unmet
}

func ticketKey(digest string) map[string]types.AttributeValue { return key("ticket#"+digest, "ticket") }

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(pk), "sk": text(sk)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func textOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
