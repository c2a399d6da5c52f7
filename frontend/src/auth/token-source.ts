/** Where a signed-in page has its tokens from. */
export interface TokenSource {
  /**
   * Returns a token for the API that is valid now; if `rejected` is the one that it would return, another. Whoever
   * asks while one is being fetched waits for the same. Rejects with `SignedOut` when nobody is signed in any more:
   * asking again is of no use then. Any other rejection may pass: the caller tries again, with its own backoff.
   */
  token(rejected?: string): Promise<string>;
  /** Of issuer, subject and tenant. What is kept under one identity is of no use to, and must not be seen by, another. */
  readonly identity: string;
}

export class SignedOut extends Error {
  override readonly name = "SignedOut";

  constructor() {
    super("Nobody is signed in.");
  }
}
