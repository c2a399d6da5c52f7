package asset

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"github.com/iops-dashboard/live/infra/cdk/app"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
	"github.com/iops-dashboard/live/infra/local/lambdahost"
)

// host is what this machine is in the settings.
var host = map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]

// nowhere is an AWS that refuses every connection, asked once: what a function says of it is not what we look for.
var nowhere = []string{
	"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true",
	"AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none",
}

// deployed is a function as a template has it.
type deployed struct {
	name, binary string
	environment  map[string]string
}

// with is its environment, without one variable, and with [nowhere].
func (d deployed) with(out string) []string {
	all := slices.Clone(nowhere)
	for name, value := range d.environment {
		if name != out {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// Each function of the templates is unzipped from its asset and started in the environment that its template gives it. It
// starts if it then waits for its next event. Without any one thing that it says it needs it does not, or this test could
// not fail.
func TestFunctionsStartFromTheirAssets(t *testing.T) {
	functions := synth(t)
	for _, f := range functions {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if err := start(t, f, f.with("")); err != nil {
				t.Errorf("it does not start: %v", err)
			}
			err := start(t, deployed{name: f.name, binary: f.binary}, nowhere)
			if err == nil {
				t.Fatal("it starts without any environment")
			}
			var needs []string
			for _, match := range needed.FindAllStringSubmatch(err.Error(), -1) {
				needs = append(needs, match[1])
			}
			if len(needs) == 0 {
				t.Fatalf("it does not say what it needs: %v", err)
			}
			slices.Sort(needs)
			for _, variable := range slices.Compact(needs) { // it said so at each of two tries
				if f.environment[variable] == "" {
					t.Errorf("it needs %s, which the template does not give", variable)
				}
			}
			missing := needs[0]
			if err := start(t, f, f.with(missing)); err == nil || !strings.Contains(err.Error(), missing) {
				t.Errorf("without %s: %v", missing, err)
			}
		})
	}
}

// needed finds the variables that a function says it has not got.
var needed = regexp.MustCompile(`variable \\"([A-Z_]+)\\" is not set`)

// start invokes a function once, in an environment of its own. It returns what the function said if its process did not
// live to wait for another event.
func start(t *testing.T, f deployed, environment []string) error {
	t.Helper()
	var mu sync.Mutex
	var said []string
	h, err := lambdahost.New(lambdahost.Config{
		Functions: []lambdahost.Function{{Name: f.name, Binary: f.binary, Environment: environment, Timeout: 10 * time.Second}},
		Logs: func(_, line string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, line)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close(context.WithoutCancel(t.Context())) }()
	result, err := h.Invoke(t.Context(), f.name, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if all := h.Sandboxes(); len(all) == 1 && all[0].State == lambdahost.Frozen {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	return fmt.Errorf("%s\n%s", result.Payload, strings.Join(said, "\n"))
}

// synth builds the assets for this machine and makes the templates, and returns the functions that are in them.
func synth(t *testing.T) []deployed {
	t.Helper()
	s := stacktest.Settings(t, map[string]string{"architecture": host})
	set, err := Build(checkout, s)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	a := awscdk.NewApp(&awscdk.AppProps{Outdir: &out})
	if err := app.New(a, s, set); err != nil {
		t.Fatal(err)
	}
	a.Synth(nil)
	templates := assembly{out: out, stacks: map[string]stack{}}
	paths, err := filepath.Glob(filepath.Join(out, "*.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var made stack
		read(t, path, &made)
		templates.stacks[strings.TrimSuffix(filepath.Base(path), ".template.json")] = made
	}
	functions := templates.functions(t, s.Named(setting.ExperienceStack))
	if want := len(s.Topology().Functions); len(functions) != want {
		t.Fatalf("the template has %d functions, want %d", len(functions), want)
	}
	return functions
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// assembly is what a synthesis leaves.
type assembly struct {
	out    string
	stacks map[string]stack
}

// stack is what we read of a template.
type stack struct {
	Resources map[string]struct {
		Type       string
		Properties map[string]any
	}
	Outputs map[string]struct {
		Value  any
		Export struct{ Name any }
	}
}

// functions unzips and lists all of a stack.
func (a assembly) functions(t *testing.T, name string) []deployed {
	t.Helper()
	var assets struct {
		Files map[string]struct {
			Source struct{ Path, Packaging string }
		}
	}
	read(t, filepath.Join(a.out, name+".assets.json"), &assets)
	var all []deployed
	for _, id := range slices.Sorted(maps.Keys(a.stacks[name].Resources)) {
		r := a.stacks[name].Resources[id]
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		p := r.Properties
		if p["Runtime"] != "provided.al2023" || p["Handler"] != "bootstrap" || !slices.Equal(p["Architectures"].([]any), []any{host}) {
			t.Fatalf("%s runs %v of %v on %v", id, p["Handler"], p["Runtime"], p["Architectures"])
		}
		key := p["Code"].(map[string]any)["S3Key"].(string)
		file := assets.Files[strings.TrimSuffix(key, ".zip")]
		if file.Source.Packaging != "file" {
			t.Fatalf("%s is of %s, which is no asset that is there as it is: %+v", id, key, file)
		}
		archive, err := os.ReadFile(filepath.Join(a.out, file.Source.Path))
		if err != nil {
			t.Fatal(err)
		}
		f := deployed{name: p["FunctionName"].(string), environment: map[string]string{}}
		f.binary = filepath.Join(t.TempDir(), "bootstrap")
		if err := os.WriteFile(f.binary, bootstrap(t, archive), 0o755); err != nil {
			t.Fatal(err)
		}
		for variable, value := range p["Environment"].(map[string]any)["Variables"].(map[string]any) {
			if f.environment[variable], err = a.plausible(name, value); err != nil {
				t.Fatalf("%s of %s: %v", variable, f.name, err)
			}
		}
		all = append(all, f)
	}
	return all
}

// known are the forms of what is known only once a stack is deployed. A name in them is that of the property.
var known = map[string]string{
	"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",

	"Ref AWS::SQS::Queue":                      "https://sqs.us-east-1.amazonaws.com/123456789012/{QueueName}",
	"Ref AWS::SNS::Topic":                      "arn:aws:sns:us-east-1:123456789012:{TopicName}",
	"Ref AWS::DynamoDB::Table":                 "{TableName}",
	"Ref AWS::ApiGatewayV2::Api":               "a1b2c3d4e5",
	"Ref AWS::Cognito::UserPoolClient":         "1h57kf5cpq17m0eml12EXAMPLE",
	"DomainName AWS::CloudFront::Distribution": "d111111abcdef8.cloudfront.net",
}

var property = regexp.MustCompile(`\{[A-Za-z]+\}`)

// plausible is a value of a stack in the form that it has once it is deployed.
func (a assembly) plausible(name string, value any) (string, error) {
	if text, ok := value.(string); ok {
		return text, nil
	}
	call, _ := value.(map[string]any)
	if len(call) != 1 {
		return "", fmt.Errorf("%v is neither a text nor a function", value)
	}
	for function, argument := range call {
		switch function {
		case "Ref":
			return a.form(name, argument.(string), "Ref")
		case "Fn::GetAtt":
			of := argument.([]any)
			return a.form(name, of[0].(string), of[1].(string))
		case "Fn::Join":
			var parts []string
			for _, part := range argument.([]any)[1].([]any) {
				text, err := a.plausible(name, part)
				if err != nil {
					return "", err
				}
				parts = append(parts, text)
			}
			return strings.Join(parts, argument.([]any)[0].(string)), nil
		case "Fn::ImportValue":
			for exporter, s := range a.stacks {
				for _, output := range s.Outputs {
					if output.Export.Name == argument {
						return a.plausible(exporter, output.Value)
					}
				}
			}
		}
	}
	return "", fmt.Errorf("nobody knows what %v becomes", value)
}

// form is that of an attribute of a resource, or of what every stack knows.
func (a assembly) form(name, id, attribute string) (string, error) {
	if text, ok := known[id]; ok {
		return text, nil
	}
	r := a.stacks[name].Resources[id]
	text, ok := known[attribute+" "+r.Type]
	if !ok {
		return "", fmt.Errorf("nobody knows what %s of %s %s becomes", attribute, r.Type, id)
	}
	return property.ReplaceAllStringFunc(text, func(p string) string { return fmt.Sprint(r.Properties[strings.Trim(p, "{}")]) }), nil
}
