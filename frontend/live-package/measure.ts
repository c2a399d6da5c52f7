import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

/** Bytes gzipped, each file by itself, at the highest level. */
export interface Size {
  /** All of the package that comes with an import of its main entry. */
  readonly own: number;
  /** With what it depends on, in one minified file. */
  readonly all: number;
}

/** How large the package in a folder is. */
export async function measure(folder: string): Promise<Size> {
  const own = [...filesOf(folder, "index.js").values()].reduce(
    (sum, code) => sum + zipped(code),
    0,
  );
  return { own, all: zipped(await bundle(join(folder, "index.js"))) };
}

/** A file and all that it imports from its own folder, by name. */
export function filesOf(
  folder: string,
  name: string,
  found = new Map<string, string>(),
): ReadonlyMap<string, string> {
  if (found.has(name)) return found;
  const code = readFileSync(join(folder, name), "utf8");
  found.set(name, code);
  for (const path of importsOf(code)) {
    if (path.startsWith("./")) filesOf(folder, path.slice(2), found);
  }
  return found;
}

/** What the code of a module imports as soon as it is loaded. */
export function importsOf(code: string): string[] {
  return [...code.matchAll(/(?:\bfrom|\bimport)\s*"([^"]+)"/g)].map(([, path = ""]) => path);
}

function zipped(code: string): number {
  return gzipSync(code, { level: 9 }).length;
}

async function bundle(entry: string): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "error",
    build: {
      write: false,
      copyPublicDir: false,
      lib: { entry, formats: ["es"] },
      rolldownOptions: { output: { minify: true } },
    },
  });
  const outputs = [built].flat().flatMap((each) => ("output" in each ? each.output : []));
  return outputs.map((file) => (file.type === "chunk" ? file.code : "")).join("");
}
