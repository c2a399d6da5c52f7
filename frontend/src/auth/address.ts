/** Whether nobody can listen on the way to that address. */
export function mayAsk({ protocol, hostname }: URL): boolean {
  const isThisMachine = ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
  return protocol === "https:" || (protocol === "http:" && isThisMachine);
}
