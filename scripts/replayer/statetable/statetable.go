// Package statetable knows where the state table keeps what, as the package comment of services/internal/state/dynamostate
// tells other readers.
package statetable

import (
	"hash/fnv"
	"strconv"

	"github.com/iops-dashboard/live/infra/topology"
)

const (
	// Insight is the type of insights; all others are entities.
	Insight = "insight"
	// Generation is both keys of the item that has the epoch.
	Generation = "generation"
	// MaxID is the longest id, in bytes, that the table has room for.
	MaxID = 1024

	// partitions is how many partition keys the entities of a tenant and type are spread over.
	partitions = 8
)

// Name is the name of a system's state table; empty if it has none.
func Name(system topology.Topology) string {
	for _, t := range system.Tables {
		if t.Variable == "STATE_TABLE" {
			return t.Name
		}
	}
	return ""
}

// Key is the key of an entity: partition, sort. Of an insight the id is that of [InsightID].
func Key(tenant, kind, id string) (pk, sk string) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return tenant + "#" + kind + "#" + strconv.Itoa(int(h.Sum32()%partitions)), id
}

// InsightID is the id of an insight whose row has this key.
func InsightID(pk, sk string) string { return sk + "/" + pk }
