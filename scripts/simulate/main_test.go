package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvFileTakesThePlaceOfTheUsersSettings(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "METRICS_TABLE"} {
		t.Setenv(name, "theirs")
	}
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("AWS_REGION=us-east-1\nMETRICS_TABLE=ours\nTOKEN=a=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"AWS_REGION": "us-east-1", "METRICS_TABLE": "ours", "TOKEN": "a=b", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_SESSION_TOKEN"} {
		if got, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is still %q", name, got)
		}
	}
}

func TestEnvFileThatIsMissingSaysWhatToDo(t *testing.T) {
	err := load(filepath.Join(t.TempDir(), "env"))
	if err == nil || !strings.Contains(err.Error(), "start scripts/up first") {
		t.Errorf("load() = %v", err)
	}
}
