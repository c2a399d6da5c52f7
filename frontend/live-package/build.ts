/**
 * Makes the package of src/live, in dist-live/, and says how large it is:
 *
 *   npm run build:live
 *
 * Needs a Node that strips types (23.6 or later).
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { measure } from "./measure.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const frontend = join(here, "..");

/** Of the package. Raise it as semantic versioning asks when the surface of src/live/index.ts changes. */
const version = "1.0.0";

// Made beside its place, so that whoever uses the package never finds half of it.
const folder = mkdtempSync(join(frontend, "dist-live-"));
try {
  await build({
    configFile: join(here, "vite.config.ts"),
    build: { outDir: folder, emptyOutDir: true },
  });
  writeTypes();
  writeManifest();
  cpSync(join(here, "README.md"), join(folder, "README.md"));
  cpSync(join(frontend, "../LICENSE"), join(folder, "LICENSE"));
  const place = join(frontend, "dist-live");
  rmSync(place, { recursive: true, force: true });
  renameSync(folder, place);
  const { own, all } = await measure(place);
  console.log(
    `dist-live: ${own} bytes gzipped for all that index.js loads, ${all} with @noble/hashes`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Declarations of all that the entries name, so that they need nothing outside the package. */
function writeTypes(): void {
  const types = join(folder, "types");
  const tsc = join(frontend, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", here, "--outDir", types], { stdio: "inherit" });
  // As they lie in the repository, two of them deep.
  renameSync(join(types, "frontend/src/live"), join(types, "live"));
  rmSync(join(types, "frontend"), { recursive: true });
  renameSync(join(types, "contracts/ts"), join(types, "ts"));
  rmSync(join(types, "contracts"), { recursive: true });
  renameSync(join(types, "ts"), join(types, "contracts"));
  for (const name of readdirSync(types, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".d.ts")) continue;
    const file = join(types, name);
    const contracts = relative(dirname(file), join(types, "contracts"));
    const text = readFileSync(file, "utf8")
      .replaceAll(/(from|import\() ?"(\.[^"]*)\.ts"/g, '$1 "$2.js"')
      .replaceAll(/"@contracts\/([^"]*)\.ts"/g, `"${contracts}/$1.js"`);
    writeFileSync(file, text);
  }
}

function writeManifest(): void {
  const { dependencies, license } = JSON.parse(
    readFileSync(join(frontend, "package.json"), "utf8"),
  ) as { dependencies: Record<string, string>; license: string };
  const entry = (js: string, types: string) => ({
    types: `./types/live/${types}.d.ts`,
    default: js,
  });
  const manifest = {
    name: "@iops-dashboard/live",
    version,
    description: "Keeps what a program watches in IOps Dashboard up to date over a WebSocket",
    license,
    type: "module",
    exports: {
      ".": entry("./index.js", "index"),
      "./browser": entry("./browser.js", "browser"),
      "./http": entry("./http.js", "http-api"),
      "./problem": entry("./problem.js", "problem"),
      "./select": entry("./select.js", "select"),
      "./tabs": entry("./tabs.js", "shared-client"),
      "./package.json": "./package.json",
    },
    sideEffects: false,
    // WebSocket is global since then.
    engines: { node: ">=22" },
    dependencies: { "@noble/hashes": dependencies["@noble/hashes"] },
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}
