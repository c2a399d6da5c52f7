package local

import (
	"errors"
	"slices"
	"strings"

	"github.com/iops-dashboard/live/infra/local/gateway"
	"github.com/iops-dashboard/live/infra/local/httpapi"
	"github.com/iops-dashboard/live/infra/local/issuer"
	"github.com/iops-dashboard/live/infra/topology"
)

// audience is for whom the tokens of this machine are.
const audience = "iops-dashboard"

// wantsTickets reports whether there are tickets, and tokens for which one gets them.
func (o Options) wantsTickets() bool { return o.Topology.HTTP.JWT != (topology.JWT{}) }

// settleOrigins says which pages may ask the HTTP API, and connect where tickets are wanted: the dashboard, by
// the names that this machine has, and those that Options name.
func (s *Stack) settleOrigins() {
	origins := slices.Clone(s.opts.Origins)
	if s.dashboard != nil {
		origins = append(origins, "http://127.0.0.1:"+port(s.dashboard), "http://localhost:"+port(s.dashboard))
	}
	s.resources.Origins = strings.Join(origins, ",")
}

// startIssuer starts who signs tokens, where some are wanted.
func (s *Stack) startIssuer() error {
	if !s.opts.wantsTickets() {
		return nil
	}
	l, err := listen("issuer", 0)
	if err != nil {
		return err
	}
	url := "http://127.0.0.1:" + port(l)
	i, err := issuer.New(url, audience, strings.Split(s.resources.Origins, ","))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.listenAndServe(l, i)
	s.resources.Issuer, s.resources.Audience = url, audience
	s.env["ISSUER_URL"], s.env["TOKEN_URL"] = url, url+"/token"
	return nil
}

// startHTTP starts the HTTP API.
func (s *Stack) startHTTP() error {
	h := s.opts.Topology.HTTP
	l, err := listen("api", 0)
	if err != nil {
		return err
	}
	s.listenAndServe(l, httpapi.New(httpapi.Config{
		Region: s.endpoints.Region, Routes: h.Routes,
		Origins: strings.Split(s.resources.Resolve(h.CORS.Origins), ","), Headers: h.CORS.Headers, Expose: h.CORS.Expose, MaxAge: h.CORS.MaxAge,
		Issuer: s.resources.Resolve(h.JWT.Issuer), Audience: s.resources.Resolve(h.JWT.Audience), Logger: s.log,
	}, gateway.InvokerFunc(s.invoke)))
	s.env["API_URL"] = "http://127.0.0.1:" + port(l)
	return nil
}
