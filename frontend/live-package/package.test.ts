// @vitest-environment node
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serveSockets } from "../src/testing/socket-server.ts";
import { frame, snapshot, upsert } from "../src/testing/wire.ts";
import { filesOf, importsOf, measure } from "./measure.ts";

const frontend = fileURLToPath(new URL("..", import.meta.url));
const built = join(frontend, "dist-live");
const entries = ["index", "http", "tabs"];
const patience = 120_000;

/** A project that has installed the package. */
let project: string;

beforeAll(() => {
  execFileSync("npm", ["run", "--silent", "build:live"], { cwd: frontend });
  project = mkdtempSync(join(tmpdir(), "live-package-"));
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, "@iops-dashboard"), { recursive: true });
  symlinkSync(built, join(modules, "@iops-dashboard/live"));
  symlinkSync(join(frontend, "node_modules/@types"), join(modules, "@types"));
  symlinkSync(join(frontend, "node_modules/undici-types"), join(modules, "undici-types"));
  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }');
}, patience);
afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

test("an import of the main entry costs less than 12 KB", { timeout: patience }, async () => {
  const { own, all } = await measure(built);
  expect(own).toBeLessThan(12 * 1024);
  // The hash that digests need comes on top, where the rest of the page does not have it already.
  expect(all).toBeLessThan(15 * 1024);
});

test("it needs one library, and no framework", () => {
  for (const entry of entries) {
    const imports = [...filesOf(built, `${entry}.js`).values()].flatMap(importsOf);
    const foreign = imports.filter((path) => !path.startsWith("./"));
    expect(foreign.filter((path) => !path.startsWith("@noble/hashes/"))).toEqual([]);
  }
  const code = readdirSync(built, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".js"))
    .map((name) => readFileSync(join(built, name), "utf8"));
  expect(code.length).toBeGreaterThanOrEqual(4);
  expect(code.filter((text) => /react|jsx|useSyncExternalStore/i.test(text))).toHaveLength(0);
});

test("the main entry asks nothing by HTTP, and has nothing to do with other tabs", () => {
  const code = [...filesOf(built, "index.js").values()].join("");
  for (const word of ["fetch(", "Authorization", "/tickets", "BroadcastChannel", "navigator"]) {
    expect(code).not.toContain(word);
  }
});

test("what is packed is what is named, and no more", { timeout: patience }, () => {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: built, encoding: "utf8" }),
  ) as [{ files: { path: string }[] }];
  const paths = packed.files.map(({ path }) => path);
  expect(paths.filter((path) => !path.startsWith("types/") && !path.endsWith(".map"))).toEqual([
    "LICENSE",
    "README.md",
    expect.stringMatching(/^assets\/timer-worker-[\w-]+\.js$/),
    "browser.js",
    "core.js",
    "http.js",
    "index.js",
    "package.json",
    "problem.js",
    "request.js",
    "select.js",
    "surroundings.js",
    "tabs.js",
  ]);
  expect(
    paths.filter((path) => /test|testing|\.tsx?$/.test(path) && !path.endsWith(".d.ts")),
  ).toEqual([]);
});

describe("its types stand alone", () => {
  const program = `
    import { LiveClient, type Entity, type LiveApi } from "@iops-dashboard/live";
    import { entitiesIn, everything } from "@iops-dashboard/live/select";
    import { httpApi } from "@iops-dashboard/live/http";

    const api: LiveApi = httpApi({ url: "https://api.test", token: async () => "token" });
    const client = new LiveClient({ url: "wss://live.test", api });
    const all: readonly Entity[] = entitiesIn(everything)(client.replica);
    const revision: number | undefined = all[0]?.version.revision;
    // @ts-expect-error: no such phase
    const phase: boolean = client.state.phase === "happy";
    export { phase, revision };
  `;
  const inBrowsers = `
    import { joinClient, sharedClient } from "@iops-dashboard/live/tabs";
    export const leave: () => void = joinClient({ url: "wss://live.test" }, { onState: () => undefined });
    export const age = sharedClient({ url: "wss://live.test" })?.freshness("entities");
  `;

  test.each([
    ["a program in Node", "node16", ["ES2023"], ["node"], program],
    ["a page", "bundler", ["ES2023", "DOM"], [], program + inBrowsers],
  ])("for %s", { timeout: patience }, (_, moduleResolution, lib, types, text) => {
    writeFileSync(join(project, "main.ts"), text);
    const compilerOptions = {
      ...{ target: "ES2023", strict: true, noEmit: true, exactOptionalPropertyTypes: true },
      ...{ module: moduleResolution === "bundler" ? "esnext" : moduleResolution },
      ...{ moduleResolution, lib, types },
    };
    writeFileSync(
      join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["main.ts"] }),
    );
    const tsc = join(frontend, "node_modules/typescript/bin/tsc");
    expect(() =>
      execFileSync(process.execPath, [tsc, "-p", project], { stdio: "pipe", encoding: "utf8" }),
    ).not.toThrow();
  });
});

describe("in plain Node", () => {
  test("every entry can be loaded", { timeout: patience }, () => {
    const names = [
      "live",
      "live/browser",
      "live/http",
      "live/problem",
      "live/select",
      "live/tabs",
    ].map((name) => `@iops-dashboard/${name}`);
    const script = `for (const name of ${JSON.stringify(names)}) console.log(Object.keys(await import(name)).length > 0);`;
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: project,
      encoding: "utf8",
    });
    expect(said).toBe("true\n".repeat(names.length));
  });

  test("the example of its README shows what a server says", { timeout: patience }, async () => {
    const readme = readFileSync(join(built, "README.md"), "utf8");
    const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
    expect(example.trim().split("\n").length).toBeLessThanOrEqual(15);
    writeFileSync(join(project, "example.js"), example);
    const student = (id: string, health_score: number) => upsert(id, 1, { health_score });
    const server = await serveSockets((text, answer) => {
      const { sync_id } = JSON.parse(text) as { sync_id: number };
      answer(snapshot(sync_id, { entities: [student("stu_1", 20)] }));
      answer(frame(student("stu_2", 30), student("stu_3", 90)));
    });
    const child = spawn(process.execPath, ["example.js"], {
      cwd: project,
      env: { ...process.env, WEBSOCKET_URL: server.url },
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      let said = "";
      for await (const chunk of child.stdout.setEncoding("utf8")) {
        said += chunk as string;
        if (said.includes("live stu_1 stu_2\n")) break;
      }
      expect(said).toContain("live stu_1 stu_2\n");
    } finally {
      child.kill();
      await once(child, "exit");
      server.close();
    }
  });
});
