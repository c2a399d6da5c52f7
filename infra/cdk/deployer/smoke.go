package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/iops-dashboard/live/contracts"
	"github.com/iops-dashboard/live/infra/topology"
)

const (
	// firstLimit is how long the first frame may take, unless --patience says it: the mapping of a stream that has just
	// been made sleeps for a minute or so.
	firstLimit = 3 * time.Minute
	// usualLimit is how long the next one may. It tells a system that works from one that does not; alarms watch the second.
	usualLimit = 30 * time.Second
	// tidyLimit is how long the row may take to go.
	tidyLimit = 15 * time.Second
)

// smoke uses the system as a page does.
func (d *deployer) smoke(ctx context.Context) error {
	outputs, err := d.need(ctx, "SiteURL", "WebSocketURL", "ApiURL")
	if err != nil {
		return err
	}
	if err := d.smokePage(ctx, outputs); err != nil {
		return err
	}
	if d.settings.Auth == topology.AuthTicket {
		if err := d.smokeDoor(ctx, outputs["WebSocketURL"]); err != nil {
			return err
		}
		if d.token == "" {
			return d.askCanary(ctx)
		}
	}
	return d.writeAndSee(ctx, outputs)
}

// smokePage sees that the page is there, and is told of this system.
func (d *deployer) smokePage(ctx context.Context, outputs map[string]string) error {
	site := outputs["SiteURL"]
	_, header, err := get(ctx, site+"/")
	if err != nil {
		return fmt.Errorf("the page is not there: %w; scripts/deploy site publishes it", err)
	}
	body, _, err := get(ctx, site+"/config.json")
	var config struct {
		WebSocketURL string `json:"webSocketUrl"`
	}
	if err == nil {
		err = json.Unmarshal(body, &config)
	}
	if err != nil || config.WebSocketURL != outputs["WebSocketURL"] {
		return fmt.Errorf("%s/config.json does not tell the page of this system (%v): scripts/deploy site writes it", site, err)
	}
	if policy := header.Get("Content-Security-Policy"); !permits(policy, originOf(outputs["WebSocketURL"])) {
		return fmt.Errorf("the page may not connect to %s by its Content-Security-Policy %q: scripts/deploy site mends that", originOf(outputs["WebSocketURL"]), policy)
	}
	d.say("ok     page: %s", site)
	return nil
}

// smokeDoor sees that nobody gets in without a ticket.
func (d *deployer) smokeDoor(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	socket, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPClient: client})
	switch {
	case err == nil:
		_ = socket.CloseNow()
		return fmt.Errorf("%s lets in who has no ticket: was it deployed with auth=open? Deploy it again with auth=ticket", address)
	case response == nil:
		return fmt.Errorf("%s does not answer: %w", address, plain(err))
	case response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden:
		return fmt.Errorf("%s answers %s to who has no ticket, want 401: the authorizer is ill", address, response.Status)
	}
	d.say("ok     nobody gets in without a ticket")
	return nil
}

// writeAndSee writes a row and waits for the frame that tells of it, twice: the first may have to wake the system.
func (d *deployer) writeAndSee(ctx context.Context, outputs map[string]string) (err error) {
	table := d.metricsTable()
	socket, err := d.connect(ctx, outputs)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close(websocket.StatusNormalClosure, "") }()
	d.say("ok     connected to %s", outputs["WebSocketURL"])

	row := row{id: "smoke_" + strings.ToLower(rand.Text()[:10]), tenant: tenantOf(d.token)}
	d.say("writing student %s to %s …", row.id, table)
	defer func() {
		// Whatever became of us: nobody else knows of the row.
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
		defer cancel()
		if gone := d.cloud.removeRow(tidy, table, row); gone != nil {
			err = errors.Join(err, fmt.Errorf("the row %s of student is left in %s: %w; remove it", row.id, table, gone))
		}
	}()
	for n, limit := range []time.Duration{d.patience, min(usualLimit, d.patience)} {
		row.score = float64(n) + 0.5
		began := time.Now()
		if err := d.cloud.writeRow(ctx, table, row); err != nil {
			return fmt.Errorf("no row was written to %s: %w", table, err)
		}
		if err := await(ctx, socket, row, limit); err != nil {
			return err
		}
		d.say("ok     written and seen in %d ms", time.Since(began).Milliseconds())
	}
	return nil
}

func (d *deployer) metricsTable() string {
	i := slices.IndexFunc(d.system.Tables, func(t topology.Table) bool { return t.Variable == "METRICS_TABLE" })
	return d.system.Tables[i].Name
}

// row is one of the metrics table, of a student that is none.
type row struct {
	id, tenant string // the tenant may be empty
	score      float64
}

// await reads frames until one tells of the row as it was written.
func await(ctx context.Context, socket *websocket.Conn, r row, limit time.Duration) error {
	reading, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		_, text, err := socket.Read(reading)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case reading.Err() != nil:
			return fmt.Errorf("no frame told of the row within %s: the alarms and infra/RUNBOOK.md tell where it rests", limit)
		case err != nil:
			return fmt.Errorf("the connection ended before a frame told of the row: %w", plain(err))
		}
		if tells(text, r) {
			return nil
		}
	}
}

// tells reports whether a frame tells of the row.
func tells(frame []byte, r row) bool {
	var update contracts.MetricUpdateFrameV1
	if update.UnmarshalJSON(frame) != nil || update.Type != contracts.MetricUpdateFrameV1Type {
		return false
	}
	for _, u := range update.Data {
		var attributes struct {
			Score *float64 `json:"health_score"`
		}
		if u.EntityID == r.id && json.Unmarshal(u.Attributes, &attributes) == nil && attributes.Score != nil && *attributes.Score == r.score {
			return true
		}
	}
	return false
}

// connect opens a WebSocket as the page does: with a ticket, if we have a token.
func (d *deployer) connect(ctx context.Context, outputs map[string]string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	address, header := outputs["WebSocketURL"], http.Header{}
	if d.token != "" {
		ticket, err := d.ticket(ctx, outputs)
		if err != nil {
			return nil, err
		}
		address += "?" + url.Values{"ticket": {ticket}}.Encode()
		header.Set("Origin", outputs["SiteURL"])
	}
	socket, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	switch {
	case err == nil:
		return socket, nil
	case response != nil:
		return nil, fmt.Errorf("%s refuses the connection with %s", outputs["WebSocketURL"], response.Status)
	}
	return nil, fmt.Errorf("%s does not answer: %w", outputs["WebSocketURL"], plain(err))
}

// ticket gets one for our token.
func (d *deployer) ticket(ctx context.Context, outputs map[string]string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, outputs["ApiURL"]+"/tickets", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	request.Header.Set("Origin", outputs["SiteURL"])
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("%s does not answer: %w", outputs["ApiURL"], plain(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("%s/tickets: %w", outputs["ApiURL"], plain(err))
	}
	switch response.StatusCode {
	case http.StatusCreated:
	case http.StatusUnauthorized, http.StatusForbidden:
		return "", fmt.Errorf("%s/tickets answers %s: is the token one of %s, for %s, and not too old?", outputs["ApiURL"], response.Status, outputs["TokenIssuer"], outputs["TokenClientId"])
	default:
		return "", fmt.Errorf("%s/tickets answers %s", outputs["ApiURL"], response.Status)
	}
	var issued contracts.TicketV1
	if json.Unmarshal(body, &issued) != nil || issued.Ticket == "" {
		return "", fmt.Errorf("%s/tickets gives no ticket that can be read", outputs["ApiURL"])
	}
	return issued.Ticket, nil
}

// tenantOf is the tenant that a token names, by its own claim or by Cognito's; empty if none. It is only believed for
// whose row we write: the API checks the token.
func tenantOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		Tenant  string `json:"tenant"`
		Cognito string `json:"custom:tenant"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	if claims.Cognito != "" {
		return claims.Cognito
	}
	return claims.Tenant
}

// askCanary has the canary do it, which gives itself a ticket.
func (d *deployer) askCanary(ctx context.Context) error {
	i := slices.IndexFunc(d.system.Functions, func(f topology.Function) bool { return f.Command == "canary" })
	if i < 0 {
		return errors.New("there is no canary to ask: give a token with IOPS_TOKEN")
	}
	canary := d.system.Functions[i]
	d.say("asking %s, since there is no token …", canary.Name)
	for began := time.Now(); ; {
		failed := d.runCanary(ctx, canary)
		switch {
		case failed == nil:
			d.say("ok     the canary connected, wrote, and saw what it wrote")
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !blind(failed) || time.Since(began) > d.patience:
			return fmt.Errorf("%s: %w; infra/RUNBOOK.md tells what to look at", canary.Name, failed)
		}
		d.say("not yet: %v", failed)
	}
}

// blind reports whether a run of the canary, which takes its time for that, ended without a frame: the mapping of a stream
// that has just been made sleeps.
func blind(failed error) bool {
	return errors.As(failed, new(functionError)) && strings.HasPrefix(failed.Error(), "canary.frame")
}

func (d *deployer) runCanary(ctx context.Context, canary topology.Function) error {
	ctx, cancel := context.WithTimeout(ctx, canary.Timeout+callLimit)
	defer cancel()
	return d.cloud.invoke(ctx, canary.Name)
}
