package canary

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/services/internal/fault"
	"github.com/iops-dashboard/live/services/internal/frame"
)

// page is an open connection.
type page struct{ conn *websocket.Conn }

// open makes the handshake. No error of it tells the ticket, which is in the address.
func (c *Canary) open(ctx context.Context, ticket string) (page, error) {
	const op = "websocket.Dial"
	conn, response, err := websocket.Dial(ctx, c.config.SocketURL+"?ticket="+url.QueryEscape(ticket), &websocket.DialOptions{HTTPClient: c.client})
	switch {
	case err == nil:
		return page{conn}, nil
	case response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		return page{}, fault.Newf(op, kindOf(response.StatusCode), "the handshake is answered by %d", response.StatusCode)
	}
	if withAddress, ok := errors.AsType[*url.Error](err); ok {
		err = withAddress.Err
	}
	return page{}, fault.New(op, fault.Transient, err)
}

// kindOf is what the status of a handshake that failed means.
func kindOf(status int) fault.Kind {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.Denied
	case status == http.StatusTooManyRequests:
		return fault.Throttled
	case status >= http.StatusInternalServerError:
		return fault.Transient
	}
	return fault.Internal
}

// syncID numbers the one command of a connection.
const syncID = 1

// sync says what the page watches, and waits for the whole answer.
func (p page) sync(ctx context.Context) error {
	command := frame.Encode(contracts.SyncCommandV1{
		Action: contracts.SyncCommandV1Action, SyncID: syncID, Contracts: []string{contracts.MetricUpdateFrameV1Type + "/1"},
		Views: []contracts.ViewV1{{EntityType: contracts.ViewType(EntityType)}},
	})
	if err := p.conn.Write(ctx, websocket.MessageText, command); err != nil {
		return fault.New("websocket.Write", fault.Transient, err)
	}
	parts := map[int64]bool{}
	for {
		kind, document, err := p.read(ctx)
		if err != nil {
			return err
		}
		switch kind {
		case contracts.KindSyncedFrameV1:
			return nil // to the one sync there was
		case contracts.KindErrorFrameV1:
			return refusal(document)
		case contracts.KindSnapshotFrameV1:
			var part contracts.SnapshotFrameV1
			if err := part.UnmarshalJSON(document); err != nil {
				return unreadable(kind, err)
			}
			if part.SyncID != syncID {
				continue
			}
			if parts[part.Part] = true; int64(len(parts)) == part.Parts {
				return nil
			}
		}
	}
}

// refusal is the error that an ERROR frame tells.
func refusal(document []byte) error {
	var refused contracts.ErrorFrameV1
	if err := refused.UnmarshalJSON(document); err != nil {
		return unreadable(contracts.KindErrorFrameV1, err)
	}
	kind := fault.Internal
	switch refused.Code {
	case contracts.ErrorCodeRateLimited:
		kind = fault.Throttled
	case contracts.ErrorCodeUnavailable:
		kind = fault.Transient
	case contracts.ErrorCodeForbidden, contracts.ErrorCodeUnauthenticated:
		kind = fault.Denied
	}
	return fault.Newf("sync", kind, "answered by %s %s", contracts.ErrorFrameV1Type, refused.Code)
}

// await waits for the frame that shows a state.
func (p page) await(ctx context.Context, next state) error {
	for {
		kind, document, err := p.read(ctx)
		if err != nil {
			return err
		}
		if kind != contracts.KindMetricUpdateFrameV1 {
			continue
		}
		var updates contracts.MetricUpdateFrameV1
		if err := updates.UnmarshalJSON(document); err != nil {
			return unreadable(kind, err)
		}
		for _, u := range updates.Data {
			if shown, err := next.shownBy(u); shown || err != nil {
				return err
			}
		}
	}
}

// understood are the frames that it reads, by what they call themselves; the others are for others.
var understood = map[string]contracts.Kind{
	contracts.SyncedFrameV1Type:       contracts.KindSyncedFrameV1,
	contracts.SnapshotFrameV1Type:     contracts.KindSnapshotFrameV1,
	contracts.ErrorFrameV1Type:        contracts.KindErrorFrameV1,
	contracts.MetricUpdateFrameV1Type: contracts.KindMetricUpdateFrameV1,
}

// read returns the next frame, which keeps its contract. Its kind is empty if it is for others.
func (p page) read(ctx context.Context) (contracts.Kind, []byte, error) {
	_, document, err := p.conn.Read(ctx)
	if err != nil {
		return "", nil, fault.New("websocket.Read", fault.Transient, err)
	}
	var head struct{ Type string }
	if err := json.Unmarshal(document, &head); err != nil {
		return "", nil, fault.Newf("websocket.Read", fault.Internal, "a message that is no frame")
	}
	kind := understood[head.Type]
	if kind == "" {
		return "", document, nil
	}
	if err := contracts.ValidateConsumer(kind, document); err != nil {
		return "", nil, unreadable(kind, err)
	}
	return kind, document, nil
}

func unreadable(kind contracts.Kind, err error) error {
	return fault.Newf("websocket.Read", fault.Internal, "%s: %w", kind, err)
}

// close ends the connection as a page does that is left. Whether that is answered makes no difference.
func (p page) close() { _ = p.conn.Close(websocket.StatusNormalClosure, "") }

// drop ends it at once, if it has not ended.
func (p page) drop() { _ = p.conn.CloseNow() }
