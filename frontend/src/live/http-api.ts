import { withTicket } from "./address.ts";
import type { HttpApi } from "./http.ts";
import type { LiveApi } from "./live-api.ts";
import { HttpPoller } from "./poller.ts";
import { fetchTicket } from "./ticket.ts";

export { ApiError, type HttpApi } from "./http.ts";

/** The HTTP API as a live client uses it. It sends nothing before it is asked. */
export function httpApi(api: HttpApi): LiveApi {
  const { token, identity } = api;
  return {
    ...(identity !== undefined && { identity }),
    ...(token && {
      ticket: async (url: string, signal: AbortSignal) =>
        withTicket(url, await fetchTicket(api, signal)),
    }),
    poller: (options) => new HttpPoller(api, options),
  };
}
