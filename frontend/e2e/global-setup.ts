import { startStack } from "./stack.ts";

/**
 * Starts the system and hands its addresses to the tests as environment variables. Where
 * DASHBOARD_URL is set already, that system is tested, and left alone.
 */
export default async function globalSetup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env["DASHBOARD_URL"]) return undefined;
  const stack = await startStack();
  Object.assign(process.env, stack.env);
  return () => stack.stop();
}
