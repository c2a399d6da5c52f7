/**
 * Measures how long a write takes to reach those who watch:
 *
 *   write→frame   from the call of UpdateItem to the frame in a bare WebSocket client
 *   write→pixel   from the call of UpdateItem to the second animation frame after the cell's text
 *                 changed in Chromium: by then the change was painted
 *
 * scripts/bench/latency starts a system of its own and runs this. On a running one:
 *
 *   set -a; . .local/env; set +a; node frontend/e2e/latency.ts [--writes 200] [--json]
 *
 * Needs a Node that strips types (23.6 or later).
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { chromium, type Page } from "@playwright/test";
import { chromiumLaunch } from "./browser.ts";
import { variable } from "./environment.ts";
import { MetricsTable } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    writes: { type: "string", default: "200" },
    json: { type: "boolean", default: false },
  },
});
const writes = Number(options.writes);
if (!Number.isInteger(writes) || writes < 1) {
  throw new Error("--writes takes a whole number of at least 1");
}
const warmUp = 10;
/** Writes take turns, so that two of the same entity are never under way together. */
const entities = Array.from({ length: 10 }, (_, i) => `latency_${i}`);
/** The attribute whose value identifies a write. */
const attribute = "sessions_30d";

interface Sighting {
  readonly value: number;
  /** Unix milliseconds, with fractions. */
  readonly at: number;
}

/** Unix milliseconds, with fractions; the browser's clock is the same one. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Remembers when the bare client was sent each value. */
async function watchFrames(): Promise<{ seen: Sighting[]; close: () => void }> {
  const seen: Sighting[] = [];
  const socket = new WebSocket(variable("WEBSOCKET_URL"));
  socket.onmessage = ({ data }) => {
    const at = now();
    const frame = JSON.parse(String(data)) as {
      data: { attributes?: Partial<Record<string, number>> }[];
    };
    for (const { attributes } of frame.data) {
      const value = attributes?.[attribute];
      if (value !== undefined) seen.push({ value, at });
    }
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => {
      reject(new Error(`cannot connect to ${socket.url}`));
    };
  });
  return {
    seen,
    close: () => {
      socket.close();
    },
  };
}

/** Has the page remember when it painted each value. */
async function watchPixels(page: Page): Promise<() => Promise<Sighting[]>> {
  await page.evaluate((column) => {
    const seen: Sighting[] = [];
    Object.assign(globalThis, { seen });
    const observer = new MutationObserver((mutations) => {
      const values = mutations.flatMap(({ target }) => {
        const cell = target.parentElement?.closest(`[data-column=${column}]`);
        return cell ? Number(cell.textContent.replaceAll(",", "")) : [];
      });
      if (values.length === 0) return;
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          const at = performance.timeOrigin + performance.now();
          seen.push(...values.map((value) => ({ value, at })));
        }),
      );
    });
    observer.observe(document.body, { subtree: true, characterData: true });
  }, attribute);
  return () => page.evaluate(() => (globalThis as unknown as { seen: Sighting[] }).seen);
}

interface Summary {
  readonly samples: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

function summarise(sent: ReadonlyMap<number, number>, seen: readonly Sighting[]): Summary {
  const first = new Map<number, number>();
  for (const { value, at } of seen) if (!first.has(value)) first.set(value, at);
  const times = [...sent].flatMap(([value, at]) => {
    const arrived = first.get(value);
    return arrived === undefined ? [] : arrived - at;
  });
  times.sort((a, b) => a - b);
  const quantile = (share: number) => round(times[Math.ceil(times.length * share) - 1] ?? NaN);
  return {
    samples: times.length,
    median: quantile(0.5),
    p95: quantile(0.95),
    max: quantile(1),
  };
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

async function measure(page: Page, table: MetricsTable) {
  await page.goto(variable("DASHBOARD_URL"));
  await page.getByText("Live", { exact: true }).waitFor();
  const frames = await watchFrames();
  let value = 0;
  const write = (id: string) => table.update("student", id, { [attribute]: ++value });

  for (const id of entities) {
    await write(id);
    await page.getByRole("rowheader", { name: id, exact: true }).waitFor();
  }
  const readPixels = await watchPixels(page);
  const sent = new Map<number, number>();
  for (let i = 0; i < warmUp + writes; i++) {
    const at = now();
    await write(entities[i % entities.length] ?? "");
    if (i >= warmUp) sent.set(value, at);
    await delay(100 + Math.random() * 50);
  }
  await delay(2_000);
  frames.close();
  return {
    writes,
    "write→frame": summarise(sent, frames.seen),
    "write→pixel": summarise(sent, await readPixels()),
  };
}

const table = new MetricsTable();
const browser = await chromium.launch(chromiumLaunch);
try {
  const result = await measure(await browser.newPage(), table);
  if (options.json) {
    console.log(JSON.stringify(result));
  } else {
    const { writes: count, ...paths } = result;
    console.log(`${count} writes, 100 to 150 ms apart; milliseconds from the call of UpdateItem`);
    for (const [path, { samples, median, p95, max }] of Object.entries(paths)) {
      const missed = samples < count ? `  (${count - samples} not seen)` : "";
      console.log(`${path}  median ${median}  p95 ${p95}  max ${max}${missed}`);
    }
  }
  const isComplete = [result["write→frame"], result["write→pixel"]].every(
    ({ samples }) => samples === writes,
  );
  if (!isComplete) process.exitCode = 1;
} finally {
  await browser.close();
  table.close();
}
