package dynamoticket_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iops-dashboard/live/services/internal/awstest"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/ticket"
	"github.com/iops-dashboard/live/services/internal/ticket/dynamoticket"
	"github.com/iops-dashboard/live/services/internal/ticket/tickettest"
)

func TestMain(m *testing.M) { awstest.Main(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	tickettest.Run(t, func(t *testing.T) ticket.Tickets {
		return dynamoticket.New(awstest.DynamoDB(t), awstest.Table(t))
	})
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"throttled":     {&types.ProvisionedThroughputExceededException{}, fault.Throttled},
		"outage":        {&types.InternalServerError{}, fault.Transient},
		"no answer":     {errors.New("connection reset"), fault.Transient},
		"no such table": {&types.ResourceNotFoundException{}, fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tickets := dynamoticket.New(intercepted(t, func(any) error { return tc.err }), "any")
			_, err := tickets.Issue(t.Context(), tickettest.Grant("sub"), ticket.Lifetime)
			if fault.KindOf(err) != tc.want || errors.Is(err, ticket.ErrTooMany) {
				t.Errorf("Issue: %v, want kind %v", err, tc.want)
			}
			if _, err := tickets.Redeem(t.Context(), "any"); fault.KindOf(err) != tc.want {
				t.Errorf("Redeem: %v, want kind %v", err, tc.want)
			}
		})
	}
}

// A write that fails after the count costs the subject one of its tickets, and gives none.
func TestIssueThatFailsHalfWay(t *testing.T) {
	t.Parallel()
	client := intercepted(t, func(input any) error {
		if _, ok := input.(*dynamodb.PutItemInput); ok {
			return errors.New("planted")
		}
		return nil
	})
	issued, err := dynamoticket.New(client, awstest.Table(t)).Issue(t.Context(), tickettest.Grant("sub"), ticket.Lifetime)
	if fault.KindOf(err) != fault.Transient || issued != (ticket.Ticket{}) {
		t.Errorf("%v, want no ticket and kind transient", err)
	}
}

// An item that is not as Issue writes it lets nobody in.
func TestSpoiltItems(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	tickets := dynamoticket.New(client, table)
	for name, change := range map[string]string{
		"no tenant":      "REMOVE tenant",
		"no subject":     "REMOVE subject",
		"no expiry":      "REMOVE valid_until",
		"an odd expiry":  "SET valid_until = tenant",
		"an odd end":     "SET #until = tenant",
		"an odd issue":   "SET issued_at = tenant",
		"an odd session": "SET #session = valid_until",
	} {
		issued, err := tickets.Issue(t.Context(), tickettest.Grant(name), ticket.Lifetime)
		if err != nil {
			t.Fatal(err)
		}
		update := &dynamodb.UpdateItemInput{
			TableName: &table, UpdateExpression: &change, Key: key("ticket#"+ticket.Digest(issued.Text), "ticket"),
		}
		if _, after, ok := strings.Cut(change, "#"); ok { // a word that expressions reserve
			name, _, _ := strings.Cut(after, " ")
			update.ExpressionAttributeNames = map[string]string{"#" + name: name}
		}
		if _, err := client.UpdateItem(t.Context(), update); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := tickets.Redeem(t.Context(), issued.Text); fault.KindOf(err) != fault.Internal || err == nil {
			t.Errorf("%s: %v, want kind internal", name, err)
		}
	}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	client, table := awstest.DynamoDB(t), awstest.Table(t)
	tickets := dynamoticket.New(client, table)
	before := time.Now()
	issued, err := tickets.Issue(t.Context(), ticket.Grant{
		Tenant: "acme", Subject: "sub", Session: "s", EntityTypes: []string{"student"}, Origin: "https://app.example.com",
	}, ticket.Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	scan, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil || len(scan.Items) != 2 {
		t.Fatalf("%d items, %v", len(scan.Items), err)
	}
	all, err := json.Marshal(scan.Items)
	if err != nil || strings.Contains(string(all), issued.Text) {
		t.Error("the table holds the ticket itself")
	}
	for _, item := range scan.Items {
		if text(item["sk"]) != "ticket" {
			begin, _ := strconv.ParseInt(text(item["sk"]), 10, 64)
			if text(item["pk"]) != "issued#acme#sub" || number(item["issued"]) != 1 ||
				begin%30_000 != 0 || before.UnixMilli()-begin > 60_000 || number(item["expires_at"]) != begin/1000+31 {
				t.Errorf("the count is %v", item)
			}
			continue
		}
		until := issued.ExpiresAt.UnixMilli()
		if text(item["pk"]) != "ticket#"+ticket.Digest(issued.Text) || text(item["tenant"]) != "acme" || text(item["subject"]) != "sub" ||
			text(item["session"]) != "s" || text(item["origin"]) != "https://app.example.com" || number(item["valid_until"]) != until || number(item["issued_at"]) != issued.IssuedAt.UnixMilli() ||
			number(item["expires_at"]) != until/1000+1 {
			t.Errorf("the ticket is %v", item)
		}
	}
}

func intercepted(t *testing.T, before func(input any) error) *dynamodb.Client {
	t.Helper()
	options := awstest.DynamoDB(t).Options()
	options.APIOptions = append(options.APIOptions, awstest.Around(func(_ context.Context, input any, next func() (any, error)) (any, error) {
		if err := before(input); err != nil {
			return nil, err
		}
		return next()
	}))
	return dynamodb.New(options)
}

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
	}
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func number(v types.AttributeValue) int64 {
	n, _ := v.(*types.AttributeValueMemberN)
	if n == nil {
		return -1
	}
	i, _ := strconv.ParseInt(n.Value, 10, 64)
	return i
}
