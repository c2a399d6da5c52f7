// Package normalizer turns the records of DynamoDB streams into events for everybody: those of the
// metrics table into METRIC_UPDATE, those of the insights table into INSIGHT_CREATED. Where
// something here is said of an entity, it holds for an insight too.
//
// A record goes through a pure function, which yields at most two updates or the reason why there
// is none; each update gets its version from the state table, and is then published. What can
// never become a valid event is put into quarantine, with its payload and the reason, and the
// stream goes on. Only an outage fails a record: then it and all that follow it in its entity are
// handed back to Lambda, which delivers them again.
//
// # Why nothing is lost and nothing goes backwards
//
// An entity's next record is applied only after the one before it was published, so a record that
// was applied but perhaps not published is either retried, and then republished with the version
// that it has already, or is followed by a later full state.
//
// A change that touches no public attribute is published like any other. To drop it would save a
// message, but would be right only if the state before it was published, which the two images of
// the record cannot tell: that state may have been quarantined, may have been handed to the
// failure store, or may be older than the stream.
package normalizer
