package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// acknowledged is a finding of the rule packs that stays, and why.
type acknowledged struct {
	Rule   string   `json:"rule"` // with what it found, where it says so, as AwsSolutions-IAM5[Resource::*]
	Reason string   `json:"reason"`
	On     []string `json:"on"` // the paths of the constructs
}

// Each finding of the AwsSolutions and Serverless packs of cdk-nag is in acknowledged.json with its reason, and each that
// is there is still found.
func TestFindingsAreAcknowledged(t *testing.T) {
	content, err := os.ReadFile("acknowledged.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []acknowledged
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatalf("acknowledged.json: %v", err)
	}
	found := map[string]string{}
	for _, variant := range checked {
		all, err := findings(synth(t, variant).folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Errorf("%s: nothing is found at all, so nothing was looked at", variant)
		}
		for finding, message := range all {
			found[finding] = message
		}
	}
	for _, fault := range judge(list, found) {
		t.Error(fault)
	}
}

// judge compares what is found with what is acknowledged.
func judge(list []acknowledged, found map[string]string) []string {
	var faults []string
	known := map[string]bool{}
	for _, a := range list {
		if len(strings.Fields(a.Reason)) < 4 {
			faults = append(faults, a.Rule+": acknowledged without a reason")
		}
		for _, on := range a.On {
			finding := a.Rule + " on " + on
			if known[finding] {
				faults = append(faults, finding+": acknowledged twice")
			}
			if known[finding] = true; found[finding] == "" {
				faults = append(faults, finding+": is not found any more, delete it from acknowledged.json")
			}
		}
	}
	for finding, message := range found {
		if !known[finding] {
			faults = append(faults, finding+": found, mend it or acknowledge it: "+message)
		}
	}
	slices.Sort(faults)
	return faults
}

// findings are those of a synthesised app: "rule on path", with the message.
func findings(folder string) (map[string]string, error) {
	type message struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	type metadata map[string][]message
	var manifest struct {
		Artifacts map[string]struct {
			Metadata               metadata `json:"metadata"`
			AdditionalMetadataFile string   `json:"additionalMetadataFile"`
		} `json:"artifacts"`
	}
	if err := readJSON(filepath.Join(folder, "manifest.json"), &manifest); err != nil {
		return nil, err
	}
	all := map[string]string{}
	add := func(of metadata) {
		for path, messages := range of {
			for _, m := range messages {
				text, ok := m.Data.(string)
				if !ok || m.Type != "aws:cdk:error" && m.Type != "aws:cdk:warning" {
					continue
				}
				rule, rest := split(text)
				all[rule+" on "+strings.TrimPrefix(path, "/")] = rest
			}
		}
	}
	for _, artifact := range manifest.Artifacts {
		add(artifact.Metadata)
		if artifact.AdditionalMetadataFile == "" {
			continue
		}
		var more metadata
		if err := readJSON(filepath.Join(folder, artifact.AdditionalMetadataFile), &more); err != nil {
			return nil, err
		}
		add(more)
	}
	return all, nil
}

// split takes the rule from a message: all before a colon that a blank follows.
func split(message string) (rule, rest string) {
	rule, rest, _ = strings.Cut(message, ": ")
	return rule, strings.TrimSpace(rest)
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// What is found and not acknowledged is told, as is what is acknowledged and not found.
func TestFindingsAreJudged(t *testing.T) {
	found := map[string]string{"A1 on x": "bad", "A1 on y": "bad", "B2[*] on x": "worse"}
	good := []acknowledged{{"A1", "it is meant to be", []string{"x", "y"}}, {"B2[*]", "it is meant to be", []string{"x"}}}
	if faults := judge(good, found); len(faults) > 0 {
		t.Errorf("found %q", faults)
	}
	for want, list := range map[string][]acknowledged{
		"B2[*] on x: found, mend it":     good[:1],
		"C3 on x: is not found any":      append(slices.Clone(good), acknowledged{"C3", "it is meant to be", []string{"x"}}),
		"C3: acknowledged without":       append(slices.Clone(good), acknowledged{"C3", "because", nil}),
		"B2[*] on x: acknowledged twice": append(slices.Clone(good), good[1]),
	} {
		if faults := judge(list, found); len(faults) != 1 || !strings.HasPrefix(faults[0], want) {
			t.Errorf("found %q, want %s", faults, want)
		}
	}
}
