/** The address of a socket with its ticket. */
export function withTicket(url: string, ticket: string): string {
  const address = new URL(url);
  address.searchParams.set("ticket", ticket);
  return address.href;
}
