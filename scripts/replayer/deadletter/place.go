// Package deadletter says of a dead letter to which queue it belongs, why it rests, and what it is about.
package deadletter

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/iops-dashboard/live/infra/topology"
)

// Kind is how a message came to rest.
type Kind string

const (
	// Unprocessed is what was received too often, or what the fanout put there because it cannot read it.
	Unprocessed Kind = "unprocessed"
	// Undelivered is what SNS could not deliver to the queue.
	Undelivered Kind = "undelivered"
)

// Place is a queue of dead letters, and the queue that they belong to.
type Place struct {
	Name     string // of the queue
	Short    string // as fanout-0, or fanout-0-subscription
	Variable string // may hold its URL
	Kind     Kind
	// Target is the queue that its messages missed. They go there and never to the topic, or every other subscriber
	// would get them once more.
	Target         string
	TargetVariable string
	Receives       int // after which a message moves from the target to this place
}

// Places lists every place of dead letters of a stage, of as many shards as there can be.
func Places(stage string) []Place {
	all := places(stage)
	for i, plain := range places(topology.Production) {
		all[i].Short = strings.TrimSuffix(strings.TrimPrefix(plain.Name, "iops-dashboard-"), "-dlq")
	}
	return all
}

// places are those of a system that has a shard for each part of its audience: more would have nobody to serve.
func places(stage string) (all []Place) {
	system := topology.New(topology.Options{Stage: stage, Shards: topology.Buckets})
	add := func(name string, kind Kind, target topology.Queue) {
		q, ok := system.Queue(name)
		if ok {
			all = append(all, Place{
				Name: name, Variable: q.Variable, Kind: kind, Target: target.Name, TargetVariable: target.Variable, Receives: target.MaxReceives,
			})
		}
	}
	for _, q := range system.Queues {
		add(q.DeadLetter, Unprocessed, q)
	}
	for _, s := range system.Subscriptions {
		if q, ok := system.Queue(s.Queue); ok {
			add(s.DeadLetter, Undelivered, q)
		}
	}
	return all
}

// Find returns the place that somebody names: by its short name, which the stage completes, or by the name or the URL of
// its queue, which tell the stage themselves.
func Find(named, stage string) (Place, error) {
	if u, err := url.Parse(named); err == nil && u.Host != "" {
		named = path.Base(u.Path)
	}
	stages := []string{stage}
	if i := strings.LastIndexByte(named, '-'); i >= 0 {
		stages = append(stages, topology.Production, named[i+1:])
	}
	for i, stage := range stages {
		for _, p := range Places(stage) {
			if p.Name == named || i == 0 && p.Short == named {
				return p, nil
			}
		}
	}
	return Place{}, unknown(named, stage)
}

func unknown(named, stage string) error {
	for _, p := range Places(stage) {
		if p.Target == named {
			return fmt.Errorf("%s is at work, its dead letters rest in %s", named, p.Name)
		}
	}
	if q, ok := topology.New(topology.Options{Stage: stage}).Queue(named); ok {
		return fmt.Errorf("%s holds no dead letters of a queue: infra/RUNBOOK.md tells what to do with what rests there", q.Name)
	}
	return fmt.Errorf("no dead letters rest in %q: want fanout-0 or fanout-0-subscription, or those of another shard, or the name or URL of such a queue", named)
}
