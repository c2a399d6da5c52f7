import { SignInProblem, type Grant, type Person, type Renewal } from "./provider.ts";
import { SignedOut, type TokenSource } from "./token-source.ts";

const noOther = "The sign-in service gives no other token.";

/** A token is replaced so long before it expires, in milliseconds: it has to last for the way to the API. */
const leeway = 60_000;

export interface TokensOptions {
  readonly issuer: string;
  readonly grant: Grant;
  readonly person: Person;
  /** See `Provider.refresh`. */
  readonly refresh: (refreshToken: string) => Promise<Renewal | undefined>;
  /** Milliseconds; measures durations. A clock that is wrong, or put right, does not matter. */
  readonly now: () => number;
  /** Called once, when there are no more tokens to be had. `why` is in plain words, where it is a wonder. */
  readonly onEnd: (why?: string) => void;
}

/** The tokens of one person, in memory. */
export class Tokens implements TokenSource {
  readonly identity: string;
  readonly #options: TokensOptions;
  #grant: Grant | undefined;
  #cameAt: number;
  #renewal: Promise<string> | undefined;
  /** The issuer has sent no other for it: it is used to its end. */
  #isLast = false;

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
    const isToLast = this.#isLast || left > Math.min(leeway, grant.lifetime / 2);
    if (isGood && isToLast) return grant.token;
    try {
      this.#renewal ??= this.#renew(grant).finally(() => {
        this.#renewal = undefined;
      });
      const token = await this.#renewal;
      if (token === rejected) throw this.#finish(noOther);
      return token;
    } catch (error) {
      if (isGood && !(error instanceof SignedOut)) return grant.token;
      throw error;
    }
  }

  /** Forgets all of them. */
  end(): void {
    this.#grant = undefined;
  }

  async #renew(grant: Grant): Promise<string> {
    const fresh = await this.#refresh(grant.refreshToken);
    if (!this.#grant) throw new SignedOut();
    if (!fresh || !this.#isSamePerson(fresh.person)) throw this.#finish();
    const refreshToken = fresh.refreshToken ?? grant.refreshToken;
    const { token } = fresh;
    this.#isLast = token === undefined;
    if (token === undefined) {
      this.#grant = { ...grant, refreshToken };
      if (this.#options.now() - this.#cameAt >= grant.lifetime) throw this.#finish(noOther);
      return grant.token;
    }
    this.#grant = { ...fresh, token, refreshToken };
    this.#cameAt = this.#options.now();
    return token;
  }

  async #refresh(refreshToken: string | undefined): Promise<Renewal | undefined> {
    if (refreshToken === undefined) return undefined;
    try {
      return await this.#options.refresh(refreshToken);
    } catch (error) {
      throw error instanceof SignInProblem && error.isFinal ? this.#finish(error.message) : error;
    }
  }

  /** Nobody is signed in any more. */
  #finish(why?: string): SignedOut {
    if (this.#grant) {
      this.end();
      this.#options.onEnd(why);
    }
    return new SignedOut();
  }

  /** An issuer need not send an ID token along. */
  #isSamePerson(person: Person | undefined): boolean {
    return !person || identityOf(this.#options.issuer, person) === this.identity;
  }
}

function identityOf(issuer: string, { subject, tenant }: Person): string {
  return JSON.stringify([issuer, subject, tenant ?? null]);
}
