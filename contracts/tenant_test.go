package contracts

import (
	"encoding/json"
	"testing"
)

func TestTenantPatternIsThatOfTheSchema(t *testing.T) {
	t.Parallel()
	content, err := Schemas.ReadFile("schemas/defs/tenant.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Pattern string }
	if err := json.Unmarshal(content, &schema); err != nil || schema.Pattern != TenantPattern.String() {
		t.Errorf("%q, %v; ours is %q", schema.Pattern, err, TenantPattern)
	}
}
