import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The first start builds the services and installs what is missing. */
const patience = 5 * 60_000;
const repository = fileURLToPath(new URL("../..", import.meta.url));

export interface Stack {
  /** What the ready file says: addresses, credentials, names. */
  readonly env: Readonly<Record<string, string>>;
  /** Asks the stack to end, and resolves once it has. */
  stop(): Promise<void>;
}

export interface StackOptions {
  /** Who may connect; everybody unless given. */
  readonly auth?: "open" | "ticket";
  /** How long a connection may be open, as 20s; as on AWS unless given. */
  readonly lifetime?: string;
}

/** Starts the whole system, without its simulator, in a folder of its own. */
export async function startStack({
  auth = "open",
  lifetime = "2h",
}: StackOptions = {}): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), "iops-e2e-"));
  const readyFile = join(folder, "ready");
  const logFile = join(folder, "up.log");
  const log = await open(logFile, "w");
  const up = spawn(
    join(repository, "scripts/up"),
    [
      ...["--headless", "--no-simulate", "--auth", auth, "--lifetime", lifetime],
      ...["--dir", join(folder, "data"), "--ready-file", readyFile],
    ],
    { cwd: repository, env: withoutServers(), stdio: ["ignore", log.fd, log.fd] },
  );
  const ended = once(up, "exit");
  // Whoever waits for it hears of a failure; before that nobody does.
  ended.catch(() => undefined);
  await log.close();

  const stop = async () => {
    up.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const hasEnded = () => up.exitCode !== null || up.signalCode !== null;
    const text = await waitForFile(readyFile, hasEnded);
    return { env: parseEnvironment(text), stop };
  } catch (cause) {
    const said = await readFile(logFile, "utf8");
    await stop();
    throw new Error(`scripts/up did not get ready:\n${said}`, { cause });
  }
}

/** Our environment, without the servers of another system: it would take them for its own. */
function withoutServers(): NodeJS.ProcessEnv {
  const variables = Object.entries(process.env).filter(([name]) => !name.startsWith("AWS_"));
  return Object.fromEntries(variables);
}

async function waitForFile(file: string, hasEnded: () => boolean): Promise<string> {
  const deadline = Date.now() + patience;
  for (;;) {
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return text;
    if (hasEnded()) throw new Error("it ended");
    if (Date.now() > deadline) throw new Error("it took too long");
    await delay(100);
  }
}

/** Reads KEY=VALUE lines. */
function parseEnvironment(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.includes("="));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
