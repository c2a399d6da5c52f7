package httpapi

import (
	"slices"
	"strings"
)

// route is one of an API's. Its segments are those of the path, with their braces.
type route struct {
	key, method, function string
	segments              []string
}

// newRoutes sorts routes: words come before parameters, from left to right.
func newRoutes(functions map[string]string) []route {
	var all []route
	for key, function := range functions {
		method, path, _ := strings.Cut(key, " ")
		all = append(all, route{key: key, method: method, function: function, segments: segments(path)})
	}
	slices.SortFunc(all, func(a, b route) int {
		return slices.CompareFunc(a.segments, b.segments, func(a, b string) int {
			_, parameterA := parameter(a)
			_, parameterB := parameter(b)
			switch {
			case parameterA == parameterB:
				return strings.Compare(a, b)
			case parameterA:
				return 1
			}
			return -1
		})
	})
	return all
}

func segments(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// parameter returns the name that a segment has in its braces.
func parameter(segment string) (string, bool) {
	name, ok := strings.CutPrefix(segment, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}

// route returns the most specific route for a decoded path, and what it has in the place of each parameter; nil for
// a route that has none.
func (a *API) route(method, path string) (route, map[string]string, bool) {
	asked := segments(path)
	for _, r := range a.routes {
		if r.method != method {
			continue
		}
		if parameters, ok := r.match(asked); ok {
			return r, parameters, true
		}
	}
	return route{}, nil, false
}

func (r route) match(asked []string) (parameters map[string]string, ok bool) {
	if len(asked) != len(r.segments) {
		return nil, false
	}
	for i, segment := range r.segments {
		name, ok := parameter(segment)
		switch {
		case !ok && segment != asked[i], ok && asked[i] == "":
			return nil, false
		case ok && parameters == nil:
			parameters = map[string]string{name: asked[i]}
		case ok:
			parameters[name] = asked[i]
		}
	}
	return parameters, true
}
