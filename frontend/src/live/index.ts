/**
 * Keeps what a program watches in IOps Dashboard up to date over a WebSocket, in browsers and in Node.
 *
 * A `LiveClient` connects, asks for what its watchers watch, repairs what was missed, moves to another socket
 * before the first ends, and says how current what it holds is. It holds values: `replica`, of the entities, and
 * `findings`, of the insights; after a change there are new ones, which share with the old whatever did not change.
 *
 * More entries: `/browser` is what a client in a page is given besides; `/problem` explains what it warns of; `/select` picks out of them what matches a view, and knows what there is to watch; `/http` where people sign in or sockets may be
 * blocked; `/tabs` where the tabs of a browser are to share one socket.
 */
export {
  LiveClient,
  type ConnectionStatus,
  type LiveClientOptions,
  type LiveState,
  type Socket,
  type SocketConstructor,
  type Watcher,
} from "./live-client.ts";
export type { Timing } from "./timing.ts";
export type { Failure, LiveApi, Polled, Poller, PollerOptions } from "./live-api.ts";
export type { Attributes, AttributeValue, InsightAttributes } from "./read-frame.ts";
export type { Change, Counters, Difference, Entity, EntityKey, Replica } from "./replica.ts";
export type { Finding, Findings } from "./findings.ts";
export type { Freshness, Part } from "./freshness.ts";
export type { Denial, Phase } from "./session.ts";
export type { Clock, Timer } from "./clock.ts";
export type { Page, PageChange } from "./page.ts";
export type { Problem } from "./problem.ts";
export type { ComparisonV1, EntityType, Version, ViewV1 } from "@contracts/zz_types.ts";
