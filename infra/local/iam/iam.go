// Package iam stands in for AWS Identity and Access Management on one machine: whoever calls a server may do what they
// were granted, and is refused everything else in the form that AWS has for it.
//
// A caller is known by the access key with which the request is signed, which is the caller's name; that the signature is
// right is not looked at. An [Authority] judges, its [Authority.Proxy] stands in front of DynamoDB, SNS and SQS, and its
// [Authority.Guard] in front of the management API of a WebSocket API.
//
// A call is judged by its action and its resource alone: there are no conditions, no policies of resources, and no
// denials. What AWS asks for besides, as what the pollers of an event source mapping do by the role of its function, or
// for logs and keys, is not seen here.
package iam

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/iops-dashboard/live/infra/topology"
)

// Call is what somebody does, as a policy names it.
type Call struct {
	Caller string
	Action string // with its service, as dynamodb:Query
	// On is the name of a table, a topic or a queue, or of an index as table/index/name; of the management API it is the
	// method. It is "*" if the request names none, or cannot be read.
	On string
}

func (c Call) String() string { return c.Caller + ": " + c.Action + " on " + c.On }

func compare(a, b Call) int {
	return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Action, b.Action), cmp.Compare(a.On, b.On))
}

// maxDenied bounds the different refused calls that are remembered: what they are on is up to the caller.
const maxDenied = 1000

// Authority knows who may do what, and remembers what was done. It may be used concurrently.
type Authority struct {
	callers map[string]bool
	used    map[Call]*atomic.Bool // all that is granted

	withdrawn sync.Map // calls without what they are on

	mu     sync.Mutex
	denied map[Call]bool
}

// New returns an authority that lets the deployables of a system do what they are granted, each under its name.
func New(system topology.Topology) *Authority {
	a := &Authority{callers: map[string]bool{}, used: map[Call]*atomic.Bool{}, denied: map[Call]bool{}}
	for _, f := range system.Functions {
		a.grant(f.Name, f.Grants)
	}
	for _, w := range system.Workers {
		a.grant(w.Name, w.Grants)
	}
	return a
}

// managing is the one action of the management API.
const managing = "execute-api:ManageConnections"

func (a *Authority) grant(caller string, grants []topology.Grant) {
	a.callers[caller] = true
	for _, g := range grants {
		if g.On.Kind == topology.CallbackURL {
			for _, method := range g.Actions {
				a.used[Call{caller, managing, method}] = &atomic.Bool{}
			}
			continue
		}
		for _, action := range g.IAM() {
			a.used[Call{caller, action, g.On.Name}] = &atomic.Bool{}
		}
	}
}

// allow returns the first of the calls that was not granted: nil if all were. Only then they count as used.
func (a *Authority) allow(calls []Call) (denied *Call) {
	for i, c := range calls {
		_, withdrawn := a.withdrawn.Load(Call{Caller: c.Caller, Action: c.Action})
		switch {
		case withdrawn:
		case a.used[c] == nil:
			a.deny(c)
		default:
			continue
		}
		denied = cmp.Or(denied, &calls[i])
	}
	if denied != nil {
		return denied
	}
	for _, c := range calls {
		if used := a.used[c]; !used.Load() { // no write to what many read
			used.Store(true)
		}
	}
	return nil
}

// Withdraw takes an action away from a caller, whatever it is on, until restore is called: the mistake that many outages
// begin with. What is refused for that is not among [Authority.Denied]. It does not nest: of an action that was taken away
// twice, the first restore gives it back.
func (a *Authority) Withdraw(caller, action string) (restore func()) {
	c := Call{Caller: caller, Action: action}
	a.withdrawn.Store(c, true)
	return func() { a.withdrawn.Delete(c) }
}

func (a *Authority) deny(c Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.denied) < maxDenied {
		a.denied[c] = true
	}
}

// Denied lists the calls that were refused, each once, sorted.
func (a *Authority) Denied() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Call
	for c := range a.denied {
		all = append(all, c)
	}
	slices.SortFunc(all, compare)
	return all
}

// Unused lists what is granted and nobody has done yet, sorted.
func (a *Authority) Unused() []Call {
	var all []Call
	for c, used := range a.used {
		if !used.Load() {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, compare)
	return all
}
