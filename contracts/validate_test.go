package contracts

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestValidateEntityRefuses(t *testing.T) {
	deep := any("bottom")
	for range 40 {
		deep = []any{deep}
	}
	cases := map[string]struct {
		entityType       EntityType
		attributes       map[string]any
		pointer, keyword string
	}{
		"unknown type":        {"school", map[string]any{}, "/entity_type", "enum"},
		"undeclared":          {EntityTypeStudent, map[string]any{"phone": "1"}, "/phone", "unevaluatedProperties"},
		"name with a slash":   {EntityTypeStudent, map[string]any{"a/b~c": "1"}, "/a~1b~0c", "unevaluatedProperties"},
		"number as text":      {EntityTypeStudent, map[string]any{"health_score": "71"}, "/health_score", "type"},
		"largest in DynamoDB": {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("9.9999999999999999999999999999999999999E+125")}, "/sessions_7d", "maximum"},
		"least in DynamoDB":   {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("-9.9999999999999999999999999999999999999E+125")}, "/sessions_7d", "minimum"},
		"smallest fraction":   {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("1E-130")}, "/sessions_7d", "type"},
		"38 digits":           {EntityTypeStudent, map[string]any{"sessions_7d": json.Number(strings.Repeat("9", 38))}, "/sessions_7d", "maximum"},
		"fraction":            {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("0.5")}, "/sessions_7d", "type"},
		"absurd exponent":     {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("1e1000000000")}, "/sessions_7d", KeywordNumber},
		"not a number":        {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("twelve")}, "/sessions_7d", KeywordNumber},
		"number and space":    {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("12 ")}, "/sessions_7d", KeywordNumber},
		"empty number":        {EntityTypeStudent, map[string]any{"sessions_7d": json.Number("")}, "/sessions_7d", KeywordNumber},
		"NaN":                 {EntityTypeStudent, map[string]any{"health_score": math.NaN()}, "/health_score", "type"},
		"infinity":            {EntityTypeStudent, map[string]any{"health_score": math.Inf(1)}, "/health_score", "type"},
		"binary":              {EntityTypeStudent, map[string]any{"segment": []byte("healthy")}, "/segment", "type"},
		"set":                 {EntityTypeStudent, map[string]any{"segment": []string{"healthy"}}, "/segment", "type"},
		"map":                 {EntityTypeStudent, map[string]any{"segment": map[string]any{"S": "healthy"}}, "/segment", "enum"},
		"null":                {EntityTypeStudent, map[string]any{"segment": nil}, "/segment", "enum"},
		"deep":                {EntityTypeStudent, map[string]any{"x": deep}, "/x" + strings.Repeat("/0", MaxDepth-1), KeywordDepth},
		"tutor's segment":     {EntityTypeStudent, map[string]any{"segment": "star"}, "/segment", "enum"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantInvalid(t, ValidateEntity(c.entityType, c.attributes), c.pointer, c.keyword)
		})
	}
}

func TestValidateEntityTakesGoNumbers(t *testing.T) {
	for _, n := range []any{7, int64(7), uint8(7), float64(7), json.Number("7"), json.Number("7.0"), json.Number("7E0")} {
		if err := ValidateEntity(EntityTypeTutor, map[string]any{"sessions_7d": n}); err != nil {
			t.Errorf("%T %v: %v", n, n, err)
		}
	}
}

func TestValidateEntityJSON(t *testing.T) {
	if err := ValidateEntityJSON(EntityTypeTutor, []byte(`{"segment":"star"}`)); err != nil {
		t.Error(err)
	}
	wantInvalid(t, ValidateEntityJSON(EntityTypeTutor, []byte(`{"segment":"thriving"}`)), "/segment", "enum")
	wantInvalid(t, ValidateEntityJSON("school", []byte(`{}`)), "/entity_type", "enum")
}

func TestUnknownKind(t *testing.T) {
	wantInvalid(t, ValidateProducer("events/metric-update/v9", []byte(`{}`)), "", KeywordUnknownType)
}

func TestFaultsAreTheSameOnEveryRun(t *testing.T) {
	const document = `{"health_score":101,"avg_rating":6,"a":1,"b":2,"churn_risk_14d":7,"sessions_7d":-1}`
	first := ValidateEntityJSON(EntityTypeStudent, []byte(document))
	wantInvalid(t, first, "/avg_rating", "maximum")
	for range 50 {
		if again := ValidateEntityJSON(EntityTypeStudent, []byte(document)); again != first {
			t.Fatalf("first %v, then %v", first, again)
		}
	}
}

func TestPublicAttributes(t *testing.T) {
	if n := PublicAttributes("school").Len(); n != 0 {
		t.Errorf("an unknown type has %d attributes", n)
	}
	for _, private := range []string{"entity_id", "entity_type", "tenant", "supply_score"} {
		if PublicAttributes(EntityTypeStudent).Has(private) {
			t.Errorf("%s is public", private)
		}
	}
	// Attributes are added, seldom dropped.
	atLeast := map[EntityType]int{EntityTypeStudent: 10, EntityTypeTutor: 10, EntityTypeSubject: 16, EntityTypeRegion: 10}
	for _, entityType := range EntityTypes() {
		set := PublicAttributes(entityType)
		if set.Len() < atLeast[entityType] || len(set.Names()) != set.Len() {
			t.Errorf("%s has %d attributes: %v", entityType, set.Len(), set.Names())
		}
	}
	a, ok := PublicAttributes(EntityTypeSubject).Get("balance_status")
	if !ok || a.Kind != AttributeChoice || len(a.KnownValues) != 3 || a.Meaning == "" || a.Label == "" {
		t.Errorf("balance_status is %+v", a)
	}
	a, _ = PublicAttributes(EntityTypeTutor).Get("avg_rating")
	if a.Kind != AttributeNumber || a.Minimum != 0 || a.Maximum != 5 || a.Unit != "stars" {
		t.Errorf("avg_rating is %+v", a)
	}
}
