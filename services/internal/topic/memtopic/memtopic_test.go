package memtopic_test

import (
	"context"
	"testing"

	"github.com/iops-dashboard/live/services/internal/topic"
	"github.com/iops-dashboard/live/services/internal/topic/memtopic"
	"github.com/iops-dashboard/live/services/internal/topic/topictest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	topictest.Run(t, func(*testing.T) topictest.Harness {
		var made memtopic.Topic
		return topictest.Harness{
			Topic:     &made,
			Delivered: func(context.Context, int) ([]topic.Message, error) { return made.Messages(), nil },
		}
	})
}
