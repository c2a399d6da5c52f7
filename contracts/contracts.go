// Package contracts is what the parts of the system, and other teams, may rely on: the forms of events,
// frames and entities, the order of versions, and the limits of size.
//
// The truth is in schemas/ (JSON Schema 2020-12). Types, the catalogue of attributes and the open
// schemas in consumer/ are generated from there by scripts/gen.
//
// # Two roles
//
// A producer validates what it is about to send against the closed schemas: a field that no schema
// names, or a value that an enum does not list, is refused ([ValidateProducer], [ValidateEntity]). A
// consumer validates what it received against the open ones, and ignores what it does not know, because
// a later producer of the same major version may add to it ([ValidateConsumer], [DecodeEvent]).
//
// # Faults
//
// Every refusal is an [Invalid]: where the fault is, which rule it breaks, and a text that never quotes
// more of the document than a clipped number or name. Refusing twice gives the same answer, so an
// invalid document is for a dead-letter queue and never for a retry.
//
// Everything here is safe for concurrent use and performs no I/O.
package contracts

import "embed"

// Limits of size, in bytes of JSON. A frame that stays within its limit is billed by API Gateway as one
// message of 32 KB (https://aws.amazon.com/api-gateway/pricing/), and an event that stays within its
// limit fits such a frame.
const (
	MaxEventBytes   = 24_576
	MaxFrameBytes   = 30_720
	MaxCommandBytes = 4_096
)

// MaxDepth bounds how deep objects and arrays may nest in any document.
const MaxDepth = 16

// Schemas holds schemas/ (for producers) and consumer/ (for consumers), each below a folder of that name.
//
//go:embed schemas consumer
var Schemas embed.FS

// Kind names a form of document by the path of its schema, such as "events/metric-update/v1".
type Kind string

type kindLimits struct {
	kind     Kind
	maxBytes int // 0 for no limit of its own
}

// Kinds lists every kind.
func Kinds() []Kind {
	out := make([]Kind, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, k.kind)
	}
	return out
}

// MaxBytes is the largest size of a document of this kind, or 0 if the kind has no limit of its own.
func (k Kind) MaxBytes() int {
	for _, known := range kinds {
		if known.kind == k {
			return known.maxBytes
		}
	}
	return 0
}
