package httpapi

import (
	"slices"
	"strings"
)

// route is one of an API's. Its segments are those of the path, with their braces; the last may be greedy.
type route struct {
	key, method, function string
	segments              []string
	greedy                bool
}

// newRoutes sorts routes: greedy ones come last; words come before parameters, from left to right.
func newRoutes(functions map[string]string) []route {
	var all []route
	for key, function := range functions {
		method, path, _ := strings.Cut(key, " ")
		r := route{key: key, method: method, function: function, segments: segments(path)}
		r.greedy = greedy(r.segments[len(r.segments)-1])
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b route) int {
		if a.greedy != b.greedy {
			return order(a.greedy)
		}
		return slices.CompareFunc(a.segments, b.segments, func(a, b string) int {
			_, parameterA := parameter(a)
			_, parameterB := parameter(b)
			switch {
			case parameterA != parameterB:
				return order(parameterA)
			case greedy(a) != greedy(b):
				return order(greedy(a))
			}
			return strings.Compare(a, b)
		})
	})
	return all
}

// order is that of two things of which one, the first or not, comes last.
func order(firstIsLast bool) int {
	if firstIsLast {
		return 1
	}
	return -1
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

// greedy reports whether a segment takes the rest of a path, as {id+}.
func greedy(segment string) bool {
	return strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "+}")
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
	if last := len(r.segments) - 1; r.greedy && len(asked) > last {
		asked = append(slices.Clone(asked[:last]), strings.Join(asked[last:], "/"))
	}
	if len(asked) != len(r.segments) {
		return nil, false
	}
	for i, segment := range r.segments {
		name, ok := parameter(segment)
		name = strings.TrimSuffix(name, "+")
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
