import { ApiError, request, type HttpApi } from "./http.ts";

/** See contracts/schemas/http/ticket. */
const form = /^[A-Za-z0-9_-]{43}$/;

/**
 * Fetches the right to open one socket, once, within seconds. It rejects as `request` does. A ticket is a
 * secret: it goes into the address of the socket, and nowhere else.
 */
export async function fetchTicket(api: HttpApi, signal: AbortSignal): Promise<string> {
  const response = await request(api, "/tickets", { method: "POST", cache: "no-store", signal });
  const body = (await response.json()) as unknown;
  const isKnown =
    typeof body === "object" && body !== null && "version" in body && body.version === 1;
  const ticket = isKnown && "ticket" in body ? body.ticket : undefined;
  if (typeof ticket !== "string" || !form.test(ticket)) {
    throw new ApiError({ kind: "unavailable", retryAfterMs: 0, status: response.status });
  }
  return ticket;
}
