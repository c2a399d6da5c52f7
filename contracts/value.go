package contracts

import (
	"bytes"
	"encoding/json"
)

// readValue keeps any JSON value as it is, null included.
func readValue(value []byte, dst *json.RawMessage) error {
	*dst = bytes.Clone(value)
	return nil
}
