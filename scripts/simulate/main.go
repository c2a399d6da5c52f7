// Command simulate writes to the metrics table as a tutoring marketplace would: one UpdateItem an
// update, spread evenly, until it is told to stop. What the rules newly find about an entity it puts
// into the insights table.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// writers bounds the writes under way; a write of one machine takes a few milliseconds.
	writers     = 8
	reportEvery = 30 * time.Second
	// patience is how long the table may be out of reach before we give up.
	patience   = 30 * time.Second
	timeLayout = "2006-01-02T15:04:05.000Z"
)

type options struct {
	entities, rate, count int
	seed                  uint64
	metrics, insights     string // tables
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	flag.IntVar(&o.entities, "entities", 1000, "how many entities there are")
	flag.IntVar(&o.rate, "rate", 500, "updates a minute")
	flag.IntVar(&o.count, "count", 0, "end after so many updates; 0 goes on until stopped")
	flag.Uint64Var(&o.seed, "seed", 1, "the same seed tells the same story")
	env := flag.String("env", filepath.Join(".local", "env"), "where scripts/up wrote where everything is; not read if METRICS_TABLE and INSIGHTS_TABLE are set")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: go run ./scripts/simulate [options]\n\nWrites to the metrics and the insights table of a running scripts/up, until ctrl-C.\n\nOptions:")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is not an option; --help lists them", flag.Arg(0))
	}
	if o.entities < 1 || o.rate < 1 || o.rate > 600_000 {
		return errors.New("--entities must be at least 1 and --rate within 1 and 600000 updates a minute")
	}
	if os.Getenv("METRICS_TABLE") == "" || os.Getenv("INSIGHTS_TABLE") == "" {
		if err := load(*env); err != nil {
			return err
		}
	}
	o.metrics, o.insights = os.Getenv("METRICS_TABLE"), os.Getenv("INSIGHTS_TABLE")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(awshttp.NewBuildableClient()))
	if err != nil {
		return err
	}
	return simulate(ctx, dynamodb.NewFromConfig(cfg), o)
}

// load puts the NAME=value lines of an env file into our environment, in place of every AWS setting
// of the user's: a profile or a file of theirs could lead the writes to a real account.
func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: start scripts/up first, or set METRICS_TABLE and INSIGHTS_TABLE", err)
	}
	defer f.Close()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE" {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		if err := os.Setenv(name, os.DevNull); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// simulate writes at the rate asked for. A write that fails is reported and forgotten: the entity
// is written again in the next round. What is found of an entity is not written before its update.
func simulate(ctx context.Context, client *dynamodb.Client, o options) error {
	w := newWorld(o.seed, o.entities)
	fmt.Printf("%d entities, %d updates a minute, seed %d\n", o.entities, o.rate, o.seed)

	var tally tally
	slots := make(chan struct{}, writers)
	defer func() { // all writes under way have ended
		for range cap(slots) {
			slots <- struct{}{}
		}
		tally.report(time.Now())
	}()
	tally.begin(time.Now())
	pace := time.NewTicker(time.Minute / time.Duration(o.rate))
	defer pace.Stop()
	for n := 0; o.count == 0 || n < o.count; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		if err := tally.hopeless(time.Now()); err != nil {
			return err
		}
		slots <- struct{}{}
		e, now := w.step(), time.Now()
		kind, id, attributes := e.Type, e.ID, e.row()
		insights := e.insights(attributes, now)
		go func() {
			defer func() { <-slots }()
			_, err := client.UpdateItem(ctx, update(o.metrics, kind, id, attributes, now))
			for i := 0; i < len(insights) && err == nil; i++ {
				_, err = client.PutItem(ctx, put(o.insights, insights[i]))
			}
			if ctx.Err() == nil {
				tally.add(err, time.Now())
			}
		}()
	}
	return nil
}

// update is one row as one UpdateItem.
func update(table, kind, id string, attributes row, now time.Time) *dynamodb.UpdateItemInput {
	attributes["last_updated"] = now.UTC().Format(timeLayout)
	in := &dynamodb.UpdateItemInput{
		TableName: &table,
		Key: map[string]types.AttributeValue{
			"entity_id":   &types.AttributeValueMemberS{Value: id},
			"entity_type": &types.AttributeValueMemberS{Value: kind},
		},
		ExpressionAttributeNames:  map[string]string{},
		ExpressionAttributeValues: map[string]types.AttributeValue{},
	}
	var set []string
	for name, value := range attributes {
		in.ExpressionAttributeNames["#"+name] = name
		in.ExpressionAttributeValues[":"+name] = attribute(value)
		set = append(set, "#"+name+" = :"+name)
	}
	in.UpdateExpression = aws.String("SET " + strings.Join(set, ", "))
	return in
}

// put is one row as one PutItem.
func put(table string, r row) *dynamodb.PutItemInput {
	item := map[string]types.AttributeValue{}
	for name, value := range r {
		item[name] = attribute(value)
	}
	return &dynamodb.PutItemInput{TableName: &table, Item: item}
}

func attribute(v any) types.AttributeValue {
	switch v := v.(type) {
	case int:
		return &types.AttributeValueMemberN{Value: strconv.Itoa(v)}
	case float64:
		return &types.AttributeValueMemberN{Value: strconv.FormatFloat(v, 'f', -1, 64)}
	case []string:
		items := make([]types.AttributeValue, len(v))
		for i, s := range v {
			items[i] = attribute(s)
		}
		return &types.AttributeValueMemberL{Value: items}
	default:
		return &types.AttributeValueMemberS{Value: v.(string)}
	}
}

// tally counts writes and says now and then how it goes. It is safe for concurrent use.
type tally struct {
	mu                 sync.Mutex
	written, failed    int
	reported, lastGood time.Time
	last               error
}

func (t *tally) begin(now time.Time) { t.reported, t.lastGood = now, now }

func (t *tally) add(err error, now time.Time) {
	t.mu.Lock()
	if err != nil {
		t.failed++
		t.last = err
	} else {
		t.written++
		t.lastGood = now
	}
	due := now.Sub(t.reported) >= reportEvery
	t.mu.Unlock()
	if due {
		t.report(now)
	}
}

func (t *tally) report(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reported = now
	if t.last != nil {
		fmt.Printf("%d written, %d failed, last: %v\n", t.written, t.failed, t.last)
		t.last = nil
		return
	}
	fmt.Printf("%d written, %d failed\n", t.written, t.failed)
}

func (t *tally) hopeless(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && now.Sub(t.lastGood) > patience {
		return fmt.Errorf("no write succeeded for %s: %w", patience, t.last)
	}
	return nil
}
