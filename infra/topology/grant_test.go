package topology

import (
	"slices"
	"testing"
)

// systems are one of each kind.
func systems() map[string]Topology {
	all := map[string]Topology{}
	for name, auth := range map[string]Auth{"open": AuthOpen, "tickets": AuthTicket} {
		all[name+", workers"] = New(Options{Auth: auth})
		all[name+", functions"] = New(Options{Auth: auth, FanoutFunction: true})
	}
	return all
}

// deployable is what functions and workers have in common.
type deployable struct {
	name, command string
	environment   map[string]Ref
	grants        []Grant
}

func (t Topology) all() (all []deployable) {
	for _, f := range t.Functions {
		all = append(all, deployable{f.Name, f.Command, f.Environment, f.Grants})
	}
	for _, w := range t.Workers {
		all = append(all, deployable{w.Name, w.Command, w.Environment, w.Grants})
	}
	return all
}

// A grant that is misspelt, or whose command or variable is no more, would be given to nobody. That each one which is
// given is used, infra/local sees by running the systems.
func TestEveryGrantIsGiven(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for _, system := range systems() {
		for _, d := range system.all() {
			for variable, on := range d.environment {
				for _, g := range d.grants {
					for _, a := range g.Actions {
						if g.On == on {
							given[d.command+" "+variable+" "+a] = true
						}
					}
				}
			}
		}
	}
	for _, some := range []actions{always, withTickets, asWorker} {
		for command, on := range some {
			for variable, names := range on {
				for _, a := range names {
					if !given[command+" "+variable+" "+a] {
						t.Errorf("%s may %s on %s, and nobody is given that", command, a, variable)
					}
				}
			}
		}
	}
}

// Nobody may do what only other systems need.
func TestGrantsAreThoseOfTheSystem(t *testing.T) {
	t.Parallel()
	const connections, queue, callback = "iops-dashboard-connections", "iops-dashboard-fanout-0", ""
	for name, want := range map[string]map[string]map[string][]string{
		"open, workers": {
			"connect": {connections: {"PutItem"}},
			"query":   {"iops-dashboard-state": {"GetItem", "PutItem", "Query"}},
			"fanout":  {queue: {"ChangeMessageVisibility", "DeleteMessage", "ReceiveMessage"}, callback: {"POST"}},
		},
		"tickets, functions": {
			"connect": {connections: {"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "UpdateItem"}, callback: {"DELETE"}},
			"fanout":  {queue: {"DeleteMessage"}, callback: {"DELETE", "POST"}},
		},
	} {
		for _, d := range systems()[name].all() {
			got := map[string][]string{}
			for _, g := range d.grants {
				if got[g.On.Name] != nil {
					t.Errorf("%s: %s has two grants on %q", name, d.name, g.On.Name)
				}
				got[g.On.Name] = g.Actions
			}
			if len(got) == 0 {
				t.Errorf("%s: %s may do nothing", name, d.name)
			}
			for on, actions := range want[d.command] {
				if !slices.Equal(got[on], actions) {
					t.Errorf("%s: %s may %v on %q, want %v", name, d.name, got[on], on, actions)
				}
			}
		}
	}
}

// The names of policies are the actions of the grant, each with its service; the methods of the management API are in
// the resource.
func TestActionsOfPolicies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind    RefKind
		actions []string
		want    []string
	}{
		{TableName, []string{"Query", "GetItem"}, []string{"dynamodb:GetItem", "dynamodb:Query"}},
		{TopicARN, []string{"Publish"}, []string{"sns:Publish"}},
		{QueueURL, []string{"SendMessage"}, []string{"sqs:SendMessage"}},
		{CallbackURL, []string{"DELETE", "POST"}, []string{"execute-api:ManageConnections"}},
	} {
		if got := (Grant{On: Ref{Kind: tc.kind}, Actions: tc.actions}).IAM(); !slices.Equal(got, tc.want) {
			t.Errorf("%v of kind %d are %v, want %v", tc.actions, tc.kind, got, tc.want)
		}
	}
}
