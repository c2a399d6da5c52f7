package app_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files themselves are valid to CloudFormation. Inside the app a construct of the CDK may silence rules for all
// stacks, as a VPC with a flow log does. A type that does not exist, a value of the wrong kind, a property that does not
// exist and a reference to nothing are found: all are validated in one process, whose start takes longest.
func TestTemplatesAreValid(t *testing.T) {
	var paths []string
	seen := map[[32]byte]bool{}
	for _, variant := range names() {
		all, err := filepath.Glob(filepath.Join(synth(t, variant).folder, "*.template.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all { // many are the same in several variants
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if key := sha256.Sum256(content); !seen[key] {
				seen[key] = true
				paths = append(paths, path)
			}
		}
	}
	const queue = `{"Resources": {"a": {"Type": "AWS::SQS::Queue", "Properties": {%s}}}}`
	invalid := map[string]string{
		"AWS::SQS::Queues":  `{"Resources": {"a": {"Type": "AWS::SQS::Queues"}}}`,
		"Colour":            fmt.Sprintf(queue, `"Colour": "red"`),
		"VisibilityTimeout": fmt.Sprintf(queue, `"VisibilityTimeout": "long"`),
		"nowhere":           fmt.Sprintf(queue, `"QueueName": {"Ref": "nowhere"}`),
	}
	folder := t.TempDir()
	broken := map[string]string{} // what is said of a file
	for want, template := range invalid {
		path := filepath.Join(folder, fmt.Sprintf("%d.template.json", len(broken)))
		if err := os.WriteFile(path, []byte(template), 0o644); err != nil {
			t.Fatal(err)
		}
		broken[path] = want
	}
	if len(paths) < len(variants) {
		t.Errorf("%d templates of %d variants", len(paths), len(variants))
	}
	out, err := validate(append(paths, slices.Collect(maps.Keys(broken))...)...)
	if err == nil || !strings.Contains(out, fmt.Sprintf("%d templates, ", len(paths)+len(broken))) {
		t.Fatalf("node validate.mjs, with the packages of npm ci in infra/cdk: %v\n%s", err, out)
	}
	for path, want := range broken {
		if !strings.Contains(out, path+":1: FATAL") && !strings.Contains(out, path+":1: ERROR") || !strings.Contains(out, want) {
			t.Errorf("%s is not found in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if path, _, _ := strings.Cut(line, ":"); slices.Contains(paths, path) {
			t.Error(strings.TrimSpace(strings.TrimPrefix(line, scratch)))
		}
	}
}

// validate returns what the validator says of files; an error if any of them is not valid.
func validate(paths ...string) (string, error) {
	out, err := exec.Command("node", append([]string{"../validate.mjs"}, paths...)...).CombinedOutput()
	return string(out), err
}
