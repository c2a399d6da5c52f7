// Package gateway is an AWS API Gateway WebSocket API on one machine.
//
// A Gateway is an http.Handler. It serves one API with one stage:
//
//	GET    /{stage}                      the WebSocket upgrade
//	POST   /{stage}/@connections/{id}    send the body to a client as one text message
//	GET    /{stage}/@connections/{id}    when it connected, who it is, when it was last active
//	DELETE /{stage}/@connections/{id}    close it
//
// and runs a Lambda function, through an [Invoker], for $connect, for each message and for $disconnect, with the event
// JSON that AWS sends. "@connections" and the "=" at the end of an id may be percent-encoded. Another stage, or none, is
// 403 {"message":"Forbidden"}.
//
// # Life of a connection
//
// The $connect function runs while the upgrade is pending: 101 follows only after it answered 2xx. Any other status goes
// to the client as it is, a failed function as 502. Until then the id is gone (410) to the management API; once the
// client has seen 101 it never is, until it closes. An API without a $connect route accepts everybody.
//
// An [Authorizer] runs before $connect. A client that lacks one of its identity sources is refused with 401, unasked. So
// is one for whom the function fails with the error "Unauthorized"; any other failure, or an answer that is no policy, is
// 500; a policy that does not allow this API's $connect is 403. What the authorizer says of a client is in the
// requestContext of every event of the connection, values as text. Nothing is cached.
//
// The client chooses a subprotocol by offering some; the $connect function picks one by returning it in the header
// Sec-WebSocket-Protocol. If it returns none, none is echoed, and a browser then gives the connection up.
//
// A message goes to the route that Config.RouteSelection names, else to $default. Messages of one connection run
// concurrently, as on AWS, so their order is not promised. Nothing that a function returns is sent to the client. Where no
// route fits or a function fails (a result that is not a proxy response is a failure too), the client gets
// {"message": "Forbidden", …} or {"message": "Internal server error", …} and the connection stays open.
//
// The socket closes with 1001 after Limits.Idle without a message in either direction or Limits.Lifetime after it
// opened, with 1009 for a frame or message too large, 1003 for a binary one, 1007 for text that is not UTF-8, 1000 on
// DELETE. $disconnect runs once for each connection whose $connect answered 2xx, after the socket is closed, with
// status code and reason. It is best effort: [Disconnect] drops or delays it.
//
// # Sending
//
// A POST is answered 200 when the message is in the connection's own bounded queue; it is not an acknowledgement. One
// writer goroutine a connection empties the queue, so a slow reader delays nobody else; when its queue is full the POST
// is answered 429 LimitExceededException. What was accepted is written before a close that the gateway begins.
//
// # Quotas
//
// [Limits] has AWS's numbers as defaults; [Assumed] has what AWS does not document, with the value that we believe in.
// The frame limit is exact: frame headers are read below the WebSocket library, which shows whole messages only.
//
// # Not imitated
//
//   - IAM and SigV4: every request is treated as allowed. With Config.WantSignature one that nobody has signed is
//     403 {"message":"Missing Authentication Token"}; what the signature is worth is not checked.
//   - Conditions, NotAction and NotResource in an authorizer's policy. It is read for $connect alone, as on AWS.
//   - TLS, custom domains, base path mappings, more than one stage, route-level throttling.
//   - Route responses (two-way routes), request models, mapping templates, non-proxy integrations.
//   - permessage-deflate: AWS negotiates it, but has been seen to ignore the window that it agreed to. It saves bytes that
//     loopback does not charge for, hides the frame sizes that the quotas count, and costs memory for each connection, so
//     the extension is never accepted. A client must not depend on it anyway.
//   - The case of header names: net/http has already made them canonical; Sec-WebSocket-* is restored.
//   - AWS's lenient JSON parser: text that encoding/json refuses is routed to $default.
//   - The reserved paths /ping and /sping, access logs, metrics.
//   - A breach of the WebSocket protocol closes with 1002, but $disconnect says Assumed.LostCode.
//
// As on AWS, the Origin header is not checked: that is an authorizer's task.
package gateway
