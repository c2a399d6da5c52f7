import type { Grant, Person } from "./provider.ts";
import { SignedOut, type TokenSource } from "./token-source.ts";

/** A token is replaced so long before it expires, in milliseconds: it has to last for the way to the API. */
const leeway = 60_000;

export interface TokensOptions {
  readonly issuer: string;
  readonly grant: Grant;
  readonly person: Person;
  /** See `Provider.refresh`. */
  readonly refresh: (refreshToken: string) => Promise<Grant | undefined>;
  /** Milliseconds; measures durations. A clock that is wrong, or put right, does not matter. */
  readonly now: () => number;
  /** Called once, when there are no more tokens to be had. */
  readonly onEnd: () => void;
}

/** The tokens of one person, in memory. */
export class Tokens implements TokenSource {
  readonly identity: string;
  readonly #options: TokensOptions;
  #grant: Grant | undefined;
  #cameAt: number;
  #renewal: Promise<string> | undefined;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#grant = options.grant;
    this.#cameAt = options.now();
    this.identity = identityOf(options.issuer, options.person);
  }

  async token(rejected?: string): Promise<string> {
    const grant = this.#grant;
    if (!grant) throw new SignedOut();
    const left = grant.lifetime - (this.#options.now() - this.#cameAt);
    const isGood = grant.token !== rejected && left > 0;
    if (isGood && left > Math.min(leeway, grant.lifetime / 2)) return grant.token;
    try {
      this.#renewal ??= this.#renew(grant).finally(() => {
        this.#renewal = undefined;
      });
      return await this.#renewal;
    } catch (error) {
      if (isGood && !(error instanceof SignedOut)) return grant.token;
      throw error;
    }
  }

  /** Forgets all of them. */
  end(): void {
    this.#grant = undefined;
  }

  async #renew({ refreshToken }: Grant): Promise<string> {
    const fresh =
      refreshToken === undefined ? undefined : await this.#options.refresh(refreshToken);
    if (!this.#grant) throw new SignedOut();
    if (!fresh || !this.#isSamePerson(fresh.person)) {
      this.end();
      this.#options.onEnd();
      throw new SignedOut();
    }
    this.#grant = { ...fresh, refreshToken: fresh.refreshToken ?? refreshToken };
    this.#cameAt = this.#options.now();
    return fresh.token;
  }

  /** An issuer need not send an ID token along. */
  #isSamePerson(person: Person | undefined): boolean {
    return !person || identityOf(this.#options.issuer, person) === this.identity;
  }
}

function identityOf(issuer: string, { subject, tenant }: Person): string {
  return JSON.stringify([issuer, subject, tenant ?? null]);
}
