/** A variable of the ready file; without it nothing here can work. */
export function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: source the env file of a running scripts/up`);
  return value;
}
