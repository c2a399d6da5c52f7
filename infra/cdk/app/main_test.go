package app_test

import (
	"archive/zip"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"github.com/iops-dashboard/live/infra/cdk/app"
	"github.com/iops-dashboard/live/infra/cdk/setting"
	"github.com/iops-dashboard/live/infra/cdk/stacktest"
)

var update = flag.Bool("update", false, "write the golden templates anew")

// scratch is where the apps of this run are synthesised.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "templates-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return stacktest.Main(m)
}

// variants are the deployments that are proved, by the context that asks for them.
var variants = map[string]map[string]string{
	"default": {},
	"eight":   {"shards": "8"},
	// As many resources as there may be, and old queues beside new ones.
	"largest":       {"fanout": "fargate", "shards": "8", "previousShards": "16"},
	"fargate":       {"fanout": "fargate"},
	"fargate-eight": {"fanout": "fargate", "shards": "8"},
	"existing": {
		"metricsTable":   "arn:aws:dynamodb:ap-southeast-1:111122223333:table/marketplace",
		"metricsStream":  "arn:aws:dynamodb:ap-southeast-1:111122223333:table/marketplace/stream/2026-01-01T00:00:00.000",
		"insightsTable":  "arn:aws:dynamodb:ap-southeast-1:111122223333:table/findings",
		"insightsStream": "arn:aws:dynamodb:ap-southeast-1:111122223333:table/findings/stream/2026-02-01T00:00:00.000",
	},
	"open": {"auth": "open"},
	// The longest name of a stage, so that every name made of it is at its longest.
	"stage":  {"stage": "integration"},
	"issuer": {"issuer": "https://login.example.com/ops", "audience": "dashboard", "origins": "https://ops.example.com", "alarms": "ops@example.com", "apiLogRole": "keep"},
}

// checked are the variants that have all kinds of resources between them: their findings and golden files are kept.
var checked = []string{"default", "fargate"}

// cloud is a deployment as its templates have it.
type cloud struct {
	variant   string
	settings  setting.Settings
	folder    string              // what synth writes
	templates map[string]template // by the name of the stack
	commands  map[string]string   // by the key of a zip, or the tag of an image

	resolved []*resource // once they were asked for
	faults   []string
}

var (
	synths = map[string]*cloud{}
	single sync.Mutex // one synth at a time, and each once
)

// synth returns a variant's deployment, for the caller to change.
func synth(t *testing.T, variant string) *cloud {
	t.Helper()
	single.Lock()
	defer single.Unlock()
	if synths[variant] == nil {
		made, err := synthesise(variant)
		if err != nil {
			t.Fatalf("%s: %v", variant, err)
		}
		synths[variant] = made
	}
	own := *synths[variant]
	var err error
	if own.templates, err = readTemplates(own.folder); err != nil {
		t.Fatal(err)
	}
	return &own
}

func synthesise(variant string) (c *cloud, err error) {
	defer func() {
		if fault := recover(); fault != nil { // as the CDK reports what it does not like
			err = fmt.Errorf("synth: %v", fault)
		}
	}()
	settings, err := setting.Read(func(name string) string { return variants[variant][name] })
	if err != nil {
		return nil, err
	}
	context, err := cdkContext()
	if err != nil {
		return nil, err
	}
	c = &cloud{variant: variant, settings: settings, folder: filepath.Join(scratch, variant)}
	a := awscdk.NewApp(&awscdk.AppProps{Outdir: &c.folder, Context: &context, AnalyticsReporting: jsii.Bool(false)})
	if err := app.New(a, settings, stacktest.Assets{Folder: filepath.Join(scratch, "assets")}); err != nil {
		return nil, err
	}
	if slices.Contains(checked, variant) {
		props := &cdknag.NagPackProps{Reports: jsii.Bool(true), ReportFormats: &[]cdknag.NagReportFormat{cdknag.NagReportFormat_JSON}}
		awscdk.Aspects_Of(a).Add(cdknag.NewAwsSolutionsChecks(props), nil)
		awscdk.Aspects_Of(a).Add(cdknag.NewServerlessChecks(props), nil)
	}
	a.Synth(nil)
	c.commands, err = readCommands(c.folder)
	return c, err
}

// cdkContext is the context that cdk.json gives every app.
func cdkContext() (map[string]any, error) {
	content, err := os.ReadFile("../cdk.json")
	if err != nil {
		return nil, err
	}
	var file struct{ Context map[string]any }
	return file.Context, json.Unmarshal(content, &file)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// readCommands tells which program each asset is.
func readCommands(folder string) (map[string]string, error) {
	manifests, err := filepath.Glob(filepath.Join(folder, "*.assets.json"))
	if err != nil {
		return nil, err
	}
	commands := map[string]string{}
	for _, path := range manifests {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		type place struct{ ObjectKey, ImageTag string }
		type part struct {
			Source       struct{ Path, Directory string }
			Destinations map[string]place
		}
		var manifest struct{ Files, DockerImages map[string]part }
		if err := json.Unmarshal(content, &manifest); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, p := range manifest.Files {
			command, err := program(filepath.Join(folder, p.Source.Path))
			if err != nil {
				return nil, err
			}
			for _, d := range p.Destinations {
				commands[d.ObjectKey] = command
			}
		}
		for _, p := range manifest.DockerImages {
			files, err := os.ReadDir(filepath.Join(folder, p.Source.Directory))
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				for _, d := range p.Destinations {
					if f.Name() != "Dockerfile" {
						commands[d.ImageTag] = f.Name()
					}
				}
			}
		}
	}
	return commands, nil
}

// program is what a zip stands for; nothing for a file that is none, as a template.
func program(path string) (string, error) {
	if !strings.HasSuffix(path, ".zip") {
		return "", nil
	}
	file, err := zip.OpenReader(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	var content [64]byte
	body, err := file.Open("bootstrap")
	if err != nil {
		return "", err
	}
	n, err := body.Read(content[:])
	if n == 0 {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(content[:n]), nil
}

// names are the variants', sorted.
func names() []string { return slices.Sorted(maps.Keys(variants)) }
