package iam

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/iops-dashboard/live/infra/local/account"
)

// message says what AWS says, of a caller whose role has its name.
func message(c Call, region string) string {
	service, _, _ := strings.Cut(c.Action, ":")
	on := c.On
	if service == "dynamodb" && on != unknown {
		on = "table/" + on
	}
	if service == "execute-api" {
		on = "*/*/" + on + "/@connections/*"
	}
	return fmt.Sprintf("User: arn:aws:sts::%s:assumed-role/%s/%s is not authorized to perform: %s on resource: arn:aws:%s:%s:%s:%s because no identity-based policy allows the %s action",
		account.ID, c.Caller, c.Caller, c.Action, service, region, account.ID, on, c.Action)
}

// refuse answers a call that was not granted, in the form of its service.
func refuse(w http.ResponseWriter, c Call, region string) {
	text := message(c, region)
	switch service, _, _ := strings.Cut(c.Action, ":"); service {
	case "sns":
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		type fault struct{ Type, Code, Message string }
		_ = xml.NewEncoder(w).Encode(struct {
			XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
			Error   fault
		}{Error: fault{"Sender", "AuthorizationError", text}})
	case "execute-api":
		w.Header().Set("x-amzn-ErrorType", "AccessDeniedException")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
	case "sqs":
		w.Header().Set("x-amzn-query-error", "AccessDenied;Sender")
		tell(w, http.StatusForbidden, "AccessDeniedException", text)
	default:
		tell(w, http.StatusBadRequest, "AccessDeniedException", text)
	}
}

// tell answers with an error of the JSON protocols. Clients of DynamoDB want a checksum.
func tell(w http.ResponseWriter, status int, kind, text string) {
	body, _ := json.Marshal(map[string]string{"__type": "com.amazon.coral.service#" + kind, "Message": text}) // texts always marshal
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
