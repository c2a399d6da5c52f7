package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/frame"
	"github.com/iops-dashboard/live/services/internal/identity"
	"github.com/iops-dashboard/live/services/internal/problem"
	"github.com/iops-dashboard/live/services/internal/state"
	"github.com/iops-dashboard/live/services/internal/view"
)

// question is what a request asks for, once it is clear that it may.
type question struct {
	route  string
	tenant string
	types  []string // of the state table, in the order of pages
	set    *view.Set
}

// text names the question. No two have the same.
func (q question) text() string {
	return string(frame.Encode(append([]string{q.route, q.tenant, q.set.Spec()}, q.types...)))
}

// watch sets the view of the question; where is its JSON. A fault points to the parameters of those names.
func (q question) watch(entityType string, where json.RawMessage, fields []string) (question, error) {
	v := map[string]any{"entity_type": entityType}
	if where != nil {
		v["where"] = where
	}
	if fields != nil {
		v["fields"] = fields
	}
	// The contract of a view is that of the command that carries it.
	document := frame.Encode(map[string]any{"action": contracts.SyncCommandV1Action, "sync_id": 1, "views": []any{v}})
	err := contracts.ValidateProducer(contracts.KindSyncCommandV1, document)
	var command contracts.SyncCommandV1
	if err == nil {
		err = json.Unmarshal(document, &command)
	}
	if err == nil {
		q.set, err = view.Compile(command.Views)
	}
	if fault, ok := errors.AsType[contracts.Invalid](err); ok {
		fault.Pointer = strings.TrimPrefix(fault.Pointer, "/views/0")
		return q, fault
	}
	return q, err
}

// parameters are those of a query string: a parameter that is given twice has both, with a comma between.
type parameters map[string]string

// only refuses what is not known.
func (p parameters) only(known ...string) error {
	for name := range p {
		if !slices.Contains(known, name) {
			return contracts.Invalid{Keyword: "additionalProperties", Message: "a parameter is not known: there are " + strings.Join(known, ", ")}
		}
	}
	return nil
}

// fields are the attributes to show; nil for all.
func (p parameters) fields() []string {
	if p["fields"] == "" {
		return nil
	}
	return strings.Split(p["fields"], ",")
}

func readMetrics(who identity.Identity, p parameters) (question, error) {
	q := question{route: routeMetrics, tenant: who.Tenant}
	if err := p.only("entity_type", "where", "fields", "cursor"); err != nil {
		return q, err
	}
	of := p["entity_type"]
	switch {
	case of == "":
		of = view.Partition
		for _, t := range contracts.EntityTypes() {
			if who.MaySee(string(t)) {
				q.types = append(q.types, string(t))
			}
		}
		if len(q.types) == 0 {
			return q, forbidden("")
		}
		slices.Sort(q.types) // the order of pages must not change with a release
	case !slices.Contains(contracts.EntityTypes(), contracts.EntityType(of)):
		return q, contracts.Invalid{Pointer: "/entity_type", Keyword: "enum", Message: "is no entity type"}
	case !who.MaySee(of):
		return q, forbidden("/entity_type")
	default:
		q.types = []string{of}
	}
	var where json.RawMessage
	if text := p["where"]; text != "" {
		if where = json.RawMessage(text); !json.Valid(where) {
			return q, contracts.Invalid{Pointer: "/where", Keyword: contracts.KeywordSyntax, Message: "is not one JSON value"}
		}
	}
	return q.watch(of, where, p.fields())
}

func readInsights(who identity.Identity, p parameters) (question, error) {
	q := question{route: routeInsights, tenant: who.Tenant, types: []string{state.InsightType}}
	if err := p.only("since", "min_risk", "fields", "cursor"); err != nil {
		return q, err
	}
	if !who.MaySee(state.InsightType) {
		return q, forbidden("")
	}
	var where []contracts.ComparisonV1
	var named []string
	compare := func(name, attribute string, value json.RawMessage) {
		if p[name] != "" {
			where = append(where, contracts.ComparisonV1{Attribute: attribute, Operator: contracts.ComparisonOperatorGe, Value: value})
			named = append(named, name)
		}
	}
	compare("since", "timestamp", frame.Encode(p["since"]))
	number := json.RawMessage(p["min_risk"])
	if !json.Valid(number) {
		number = frame.Encode(p["min_risk"]) // a text, which is refused
	}
	compare("min_risk", "risk_score", number)
	var conditions json.RawMessage
	if where != nil {
		conditions = frame.Encode(where)
	}
	q, err := q.watch(string(contracts.ViewTypeInsight), conditions, p.fields())
	if fault, ok := errors.AsType[contracts.Invalid](err); ok {
		for i, name := range named {
			if strings.HasPrefix(fault.Pointer, fmt.Sprintf("/where/%d/", i)) {
				fault.Pointer = "/" + name
			}
		}
		return q, fault
	}
	return q, err
}

func readEntity(who identity.Identity, path, p parameters) (question, error) {
	q := question{route: routeEntity, tenant: who.Tenant, types: []string{path["type"]}}
	if err := p.only("fields"); err != nil {
		return q, err
	}
	of := path["type"]
	switch {
	case !slices.Contains(contracts.EntityTypes(), contracts.EntityType(of)):
		return q, notFound
	case !who.MaySee(of):
		return q, forbidden("/type")
	}
	return q.watch(of, nil, p.fields())
}

var notFound = problem.Problem{Status: http.StatusNotFound, Code: contracts.ErrorCodeNotFound, Detail: "There is no such thing, or none that you may see."}

func forbidden(pointer string) problem.Problem {
	return problem.Problem{Status: http.StatusForbidden, Code: contracts.ErrorCodeForbidden, Pointer: pointer, Detail: "You may not see this."}
}
