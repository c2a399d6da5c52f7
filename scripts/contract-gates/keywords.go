package main

// The keywords that scripts/gen-contracts lets into a schema, by what a change of one means.

// annotations say something to people only: they change freely.
var annotations = []string{"$schema", "$id", "title", "description", "examples"}

// structural keywords are compared by what they build, not by their text.
var structural = []string{
	"$ref", "allOf", "anyOf", "if", "then", "properties", "required", "items", "enum", "x-known-values",
	"additionalProperties", "unevaluatedProperties", "x-meaning", "x-unit",
}

// lists are the keywords that name the values of a text.
var lists = []string{"enum", "x-known-values"}

// ruleOf has the rule that a change of any other keyword breaks.
var ruleOf = map[string]string{
	"type":        "type",
	"const":       "const",
	"minimum":     "range",
	"maximum":     "range",
	"minLength":   "length",
	"maxLength":   "length",
	"minItems":    "length",
	"maxItems":    "length",
	"uniqueItems": "length",
	"pattern":     "pattern",
	"format":      "format",
	"x-max-bytes": "size",
}

// newMajor ends the advice of most rules.
const newMajor = "or begin a new major version beside this one: see contracts/README.md"

// adviceOn has, for each rule that a change can break, what to do instead.
var adviceOn = map[string]string{
	"type":             "Put the old type back and add a field of the new type, " + newMajor,
	"const":            "Put the old value back, " + newMajor,
	"range":            "Put the old range back; a range neither shrinks nor grows within a major version. Add a field with the new one, " + newMajor,
	"length":           "Put the old limit back; a limit neither shrinks nor grows within a major version. Add a field with the new one, " + newMajor,
	"pattern":          "Put the old pattern back and add a field with the new one, " + newMajor,
	"format":           "Put the old format back and add a field with the new one, " + newMajor,
	"size":             "Put the old limit back: consumers have made room for it, and no more, " + newMajor,
	"unit":             "Put the old unit back and add a field in the new unit, " + newMajor,
	"enum":             "Leave it a list of values if it was one, and open if it was open, " + newMajor,
	"enum-removed":     "Put the value back: stop sending it if you like, but old events and other teams' code still name it, " + newMajor,
	"closed":           "Leave the object as open or closed as it was, " + newMajor,
	"alternatives":     "Put the old alternatives back, " + newMajor,
	"rename":           "Keep the old field and send both. If the two have nothing to do with each other, release the removal first and the new field after that; " + newMajor,
	"required-added":   "Make the new field optional, " + newMajor,
	"required-removed": "Put the field back: consumers were told that it is always there, " + newMajor,
	"now-required":     "Leave it optional: events without it are still on their way, " + newMajor,
	"now-optional":     "Leave it required: consumers were told that it is always there, " + newMajor,
}
