// Package stacktest makes a stack for a test, and reads its template.
package stacktest

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

// Main runs the tests of a package that makes stacks, and returns what to exit with.
func Main(m *testing.M) int {
	defer jsii.Close()
	if err := os.Setenv("CDK_VALIDATION", "false"); err != nil { // it takes long, and is a test of package app
		panic(err)
	}
	return m.Run()
}

// Settings are those that a context asks for.
func Settings(t *testing.T, context map[string]string) setting.Settings {
	t.Helper()
	settings, err := setting.Read(func(name string) string { return context[name] })
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// Assets are stand-ins for programs, which say what they stand for: the templates do not change with the source. They are
// made in Folder, and panic if they cannot be.
type Assets struct{ Folder string }

// Program is the path of a zip whose bootstrap has the command's name in it.
func (a Assets) Program(command string) string {
	path := filepath.Join(a.Folder, command+".zip")
	must(os.MkdirAll(a.Folder, 0o755))
	file, err := os.Create(path)
	must(err)
	w := zip.NewWriter(file)
	body, err := w.CreateHeader(&zip.FileHeader{Name: "bootstrap", Method: zip.Store})
	must(err)
	_, err = body.Write([]byte(command))
	must(err)
	must(w.Close())
	must(file.Close())
	return path
}

// Image is the path of a folder with a Dockerfile, and a file of the command's name with it in it.
func (a Assets) Image(command string) string {
	path := filepath.Join(a.Folder, "image-"+command)
	must(os.MkdirAll(path, 0o755))
	must(os.WriteFile(filepath.Join(path, "Dockerfile"), []byte("FROM scratch\nCOPY "+command+" /\n"), 0o644))
	must(os.WriteFile(filepath.Join(path, command), []byte(command), 0o644))
	return path
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Template is a CloudFormation template.
type Template struct {
	Resources map[string]Resource
	Outputs   map[string]struct{ Value any }
}

// Resource is one of a template, by its logical id there.
type Resource struct {
	Type           string
	Properties     map[string]any
	DependsOn      []string
	DeletionPolicy string
}

// Synth is the template of a stack, which takes a second to make.
func Synth(t *testing.T, stack func(awscdk.App) awscdk.Stack) (made Template) {
	t.Helper()
	defer func() {
		if fault := recover(); fault != nil { // as the CDK reports what it does not like
			t.Fatalf("synth: %v", fault)
		}
	}()
	out := t.TempDir()
	a := awscdk.NewApp(&awscdk.AppProps{Outdir: &out, AnalyticsReporting: jsii.Bool(false)})
	Reread(t, *assertions.Template_FromStack(stack(a), nil).ToJSON(), &made)
	return made
}

// Of are the properties of all resources of a type, by their logical ids.
func Of[T any](t *testing.T, of Template, kind string) map[string]T {
	t.Helper()
	all := map[string]T{}
	for id, x := range of.Resources {
		if x.Type == kind {
			var properties T
			Reread(t, x.Properties, &properties)
			all[id] = properties
		}
	}
	return all
}

// Reread has one form of a value from another.
func Reread(t *testing.T, from, to any) {
	t.Helper()
	content, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(content, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Text is a value in which what only CloudFormation knows stands as ${id} or ${id.attribute}.
func Text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case map[string]any:
		if id, ok := v["Ref"].(string); ok {
			return "${" + id + "}"
		}
		if get, ok := v["Fn::GetAtt"].([]any); ok {
			return fmt.Sprintf("${%v.%v}", get...)
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			return strings.Join(Texts(join[1]), Text(join[0]))
		}
		if sub, ok := v["Fn::Sub"].(string); ok {
			return sub
		}
		if from, ok := v["Fn::ImportValue"].(string); ok {
			return "${" + from + "}"
		}
	}
	return fmt.Sprint(value)
}

// Texts are those of a list, or of what stands for a list of one.
func Texts(value any) []string {
	many, ok := value.([]any)
	if !ok {
		return []string{Text(value)}
	}
	var all []string
	for _, v := range many {
		all = append(all, Text(v))
	}
	return all
}

// ID is the logical id of the resource that a value, or a [Text], is or is an attribute of.
func ID(value any) string {
	id, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(Text(value), "${"), "}"), ".")
	return id
}
