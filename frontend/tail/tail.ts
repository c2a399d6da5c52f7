/** Prints what changes, in a terminal. scripts/tail starts it; its --help says more. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { LiveClient, type Version } from "#live";
import { httpApi } from "#live-http";
import { explain } from "#live-problem";
import { readArguments, usage, UsageError, type Options } from "./arguments.ts";
import {
  compareHoldings,
  holdingsOf,
  listHoldings,
  type Change,
  type Holdings,
} from "./changes.ts";
import { formatFreshness, formatJson, formatLine } from "./line.ts";

const exit = { done: 0, usage: 2, noAnswer: 3, notLetIn: 4 };

/** How to reach the server, and what to say where it does not answer. */
interface Addresses {
  readonly url: string;
  readonly api: string | undefined;
}

function main(): void {
  let options: Options | undefined;
  let addresses: Addresses;
  try {
    options = readArguments(process.argv.slice(2));
    if (!options) {
      process.stdout.write(usage);
      return;
    }
    addresses = findAddresses(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`tail: ${error.message}\n`);
    process.exitCode = exit.usage;
    return;
  }
  if (addresses.url === "") {
    process.stderr.write("tail: nothing runs here; start scripts/up, or name a --url\n");
    process.exitCode = exit.noAnswer;
    return;
  }
  follow(options, addresses);
}

/** Of one installation: an API belongs to the WebSocket that was named beside it. */
function findAddresses({ url, api }: Options): Addresses {
  if (url !== undefined) return { url, api };
  const { env } = process;
  if (env["WEBSOCKET_URL"]) return { url: env["WEBSOCKET_URL"], api: api ?? env["API_URL"] };
  const running = readEnvironment(new URL("../../.local/env", import.meta.url));
  return { url: running["WEBSOCKET_URL"] ?? "", api: api ?? running["API_URL"] };
}

/** The KEY=VALUE lines of a file; none where there is no such file. */
function readEnvironment(file: URL): Partial<Record<string, string>> {
  let text: string;
  try {
    text = readFileSync(fileURLToPath(file), "utf8");
  } catch {
    return {};
  }
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );
}

function follow(options: Options, { url, api }: Addresses): void {
  const token = process.env["TOKEN"];
  const warn = (problem: string) => {
    process.stderr.write(`tail: ${problem}\n`);
  };
  const client = new LiveClient({
    url,
    ...(api !== undefined && {
      api: httpApi({ url: api, ...(token && { token: giveOnce(token) }) }),
    }),
    warn: (problem) => {
      warn(explain(problem));
    },
  });

  let held: Holdings | undefined;
  let wasOpen = false;
  let said: string | undefined;
  const ticking = setInterval(() => {
    check(false);
  }, 1_000);

  function end(code: number): void {
    client.stop();
    clearInterval(ticking);
    clearTimeout(ending);
    process.exitCode = code;
    // A server that does not answer the farewell is not waited for.
    setTimeout(() => process.exit(), 500).unref();
  }

  function print(change: Change): boolean {
    const isInsight = change.type === "insight";
    if (isInsight ? !options.hasInsights : !options.hasEntities) return false;
    const hasColours = process.stdout.isTTY && !process.env["NO_COLOR"];
    // Of both, they are those of the entities.
    const fields = isInsight && options.hasEntities ? undefined : options.fields;
    const form = { fields, hasColours };
    const format = options.isJson ? formatJson : formatLine;
    const line = format(change, client.time(), form);
    if (line !== undefined) process.stdout.write(`${line}\n`);
    return line !== undefined;
  }

  /** Prints what is new since the last time. Until everything was here nothing is: it comes in parts. */
  function show(): void {
    if (!client.state.isComplete) return;
    const now = holdingsOf(options.views, client.replica, client.findings);
    const isFirst = held === undefined;
    const changes = held ? compareHoldings(held, now, versionsOf(client)) : listHoldings(now);
    held = now;
    if (isFirst && !options.hasSnapshot) return;
    const printed = changes.map(print).includes(true);
    if (options.isOnce && (isFirst || printed)) end(exit.done);
  }

  /** `hasNews`: the connection has changed. */
  function check(hasNews: boolean): void {
    const { status, denial } = client.state;
    if (status === "stopped") return;
    const retryIn = client.retryIn();
    wasOpen ||= status === "open";
    if (denial) {
      warn(
        token
          ? "whom TOKEN names is not let in: it must be good still, and a service's"
          : "not let in: put a token into TOKEN; see --help",
      );
      end(exit.notLetIn);
      return;
    }
    if (status === "waiting" && !wasOpen) {
      warn(
        `nothing answers at ${url}, or it lets nobody in without a token: start scripts/up, or see --help`,
      );
      end(exit.noAnswer);
      return;
    }
    const text = formatFreshness(client.freshness(), retryIn);
    // While an attempt is waited for the seconds pass, and nothing else happens.
    const isOld = text === said || (retryIn !== undefined && !hasNews);
    if (text === undefined || isOld) return;
    said = text;
    process.stderr.write(`${text}\n`);
  }

  const ending =
    options.duration === undefined
      ? undefined
      : setTimeout(() => {
          if (!held) warn("not all that is watched was here by then");
          end(held ? exit.done : exit.noAnswer);
        }, options.duration);

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      end(exit.done);
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    end(exit.done);
  });

  const update = () => {
    check(true);
    show();
  };
  for (const view of options.views) client.watch({ view });
  client.watch({ onState: update, onData: show });
  client.start();
}

/** Of what is gone. */
function versionsOf({ replica, findings }: LiveClient): ReadonlyMap<string, { version: Version }> {
  return new Map([...replica.tombstones, ...findings.tombstones]);
}

/** A token that the server does not take has no successor here. */
function giveOnce(token: string): (rejected?: string) => Promise<string> {
  return (rejected) =>
    rejected === undefined
      ? Promise.resolve(token)
      : Promise.reject(Object.assign(new Error("the token is not taken"), { name: "SignedOut" }));
}

main();
