// Package deadletter says where dead letters rest and belong, and of one from the topic why it rests, and what it is about.
package deadletter

import (
	"cmp"
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
	// Quarantined is a record that could not become an event, or a dead letter that cannot be brought back as it is.
	Quarantined Kind = "quarantined"
	// GivenUp tells of records that the normalizer failed at until Lambda gave them up.
	GivenUp Kind = "given up"
)

// Place is a queue of dead letters, and where they belong.
type Place struct {
	Name     string // of the queue
	Short    string // as fanout-0, fanout-0-subscription, quarantine or failures
	Stage    string // of the system that it is part of
	Variable string // may hold its URL
	Kind     Kind
	// Target is the queue that the messages missed, or the function that failed at the records. They go there and never to
	// the topic, or every other subscriber would get them once more.
	Target         string
	TargetVariable string // may hold the queue's URL
	Receives       int    // after which a message moves from the target to this place
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
	add := func(name string, kind Kind, p Place) {
		if q, ok := system.Queue(name); ok {
			p.Name, p.Variable, p.Kind, p.Stage = q.Name, q.Variable, kind, stage
			all = append(all, p)
		}
	}
	for _, q := range system.Queues {
		add(q.DeadLetter, Unprocessed, Place{Target: q.Name, TargetVariable: q.Variable, Receives: q.MaxReceives})
	}
	for _, s := range system.Subscriptions {
		if q, ok := system.Queue(s.Queue); ok {
			add(s.DeadLetter, Undelivered, Place{Target: q.Name, TargetVariable: q.Variable, Receives: q.MaxReceives})
		}
	}
	for _, f := range system.Functions {
		if r, ok := f.Environment["QUARANTINE_QUEUE_URL"]; ok {
			add(r.Name, Quarantined, Place{Target: f.Name})
		}
	}
	given := map[string]bool{} // two streams have one store
	for _, m := range system.Streams {
		if s, ok := system.Store(m.Failures); ok && !given[s.Queue] {
			given[s.Queue] = true
			add(s.Queue, GivenUp, Place{Target: m.Function})
		}
	}
	return all
}

// Find returns the place that somebody names: by its short name, which the stage completes, production's if it is empty;
// or by the name or the URL of its queue, which tell the stage themselves, and must not be of another.
func Find(named, stage string) (Place, error) {
	if u, err := url.Parse(named); err == nil && u.Host != "" {
		named = path.Base(u.Path)
	}
	stages := []string{cmp.Or(stage, topology.Production)}
	if i := strings.LastIndexByte(named, '-'); i >= 0 {
		stages = append(stages, topology.Production, named[i+1:])
	}
	for i, each := range stages {
		for _, p := range Places(each) {
			switch {
			case p.Name == named && stage != "" && p.Stage != stage:
				return Place{}, fmt.Errorf("%s is of stage %s, and not of %s", named, p.Stage, stage)
			case p.Name == named, i == 0 && p.Short == named:
				return p, nil
			}
		}
	}
	return Place{}, unknown(named, stages[0])
}

func unknown(named, stage string) error {
	for _, p := range Places(stage) {
		if p.Target == named {
			return fmt.Errorf("%s is at work, its dead letters rest in %s", named, p.Name)
		}
	}
	return fmt.Errorf("no dead letters rest in %q: want fanout-0 or fanout-0-subscription, or those of another shard, quarantine, failures, or the name or URL of such a queue", named)
}
