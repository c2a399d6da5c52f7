package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/infra/cdk/setting"
)

// bootstrapQualifier is what the CDK calls the part of a name that tells its places for files in an account apart.
const bootstrapQualifier = "@aws-cdk/core:bootstrapQualifier"

// values are those that were given for a deployment, by name: settings, the [bootstrapQualifier], and what else of the
// CDK's own was given by -c, whose names begin with @.
type values map[string]string

// readValues joins what -c gave with what the files say from which the CDK takes its context.
func readValues(given map[string]string, files ...string) (values, error) {
	all := values{}
	for _, file := range slices.Backward(files) { // the first one counts most
		context, err := readContext(file)
		if err != nil {
			return nil, err
		}
		for name, value := range context {
			if isSetting(name) || name == bootstrapQualifier {
				all[name] = value
			}
		}
	}
	for name, value := range given {
		if !isSetting(name) && !strings.HasPrefix(name, "@") {
			return nil, misuse("no setting is called %q; scripts/deploy --help lists them", name)
		}
		all[name] = value
	}
	return all, nil
}

// contextFiles are the files that the CDK reads besides the command line, those first that count most.
func contextFiles(root string) []string {
	files := []string{filepath.Join(root, "infra", "cdk", "cdk.json"), filepath.Join(root, "infra", "cdk", "cdk.context.json")}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".cdk.json"))
	}
	return files
}

// readContext reads the context in a file of the CDK; a file that is not there has none.
func readContext(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", file, err)
	}
	if filepath.Base(file) != "cdk.context.json" { // which is nothing but context
		content, _ = content["context"].(map[string]any)
	}
	all := map[string]string{}
	for name, value := range content {
		all[name] = fmt.Sprint(value)
	}
	return all, nil
}

func isSetting(name string) bool {
	return slices.ContainsFunc(setting.All, func(s setting.Setting) bool { return s.Name == name })
}

// settings are the values as the CDK's app reads them.
func (v values) settings() (setting.Settings, error) {
	s, err := setting.Read(func(name string) string { return v[name] })
	if err != nil {
		return s, misuse("%w\nscripts/deploy --help lists the settings", err)
	}
	return s, nil
}

// arguments are the values as the CDK's command line takes them. No file has a say in a setting any more.
func (v values) arguments() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		all = append(all, "-c", name+"="+v[name])
	}
	return all
}

// with are the values with one more.
func (v values) with(name, value string) values {
	all := maps.Clone(v)
	all[name] = value
	return all
}
