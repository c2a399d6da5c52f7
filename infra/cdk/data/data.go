// Package data is IOpsDashboard-DataStack: the tables that writers write to, each with its stream.
package data

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/iops-dashboard/live/infra/cdk/table"
	"github.com/iops-dashboard/live/infra/topology"
)

// Stack has the tables whose streams the system reads, but for those that somebody brought.
type Stack struct {
	awscdk.Stack
	Tables map[string]awsdynamodb.ITable // by name
}

// Owns reports whether the stack has a table: one that the writers write to, and nobody brought.
func Owns(t topology.Table) bool { return t.Stream && !t.Brought }

// New returns the stack, or nil if there is nothing to be in it.
func New(scope constructs.Construct, name string, system topology.Topology, props awscdk.StackProps) *Stack {
	s := &Stack{Tables: map[string]awsdynamodb.ITable{}}
	for _, t := range system.Tables {
		if !Owns(t) {
			continue
		}
		if s.Stack == nil {
			props.Description = jsii.String("IOps Dashboard: the tables that writers write to")
			s.Stack = awscdk.NewStack(scope, &name, &props)
		}
		s.Tables[t.Name] = table.New(s.Stack, t)
	}
	if s.Stack == nil {
		return nil
	}
	return s
}
